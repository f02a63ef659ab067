"""HTTP: one client with connections that stay open, retries, and bounds on every exchange."""

from nvframe.http.client import HttpClient
from nvframe.http.retry import Retry
from nvframe.urls import without_secrets

__all__ = ["HttpClient", "Retry", "without_secrets"]
