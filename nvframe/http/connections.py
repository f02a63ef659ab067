"""Connections kept alive and shared by all threads: one pool per host, made as the environment says."""

from __future__ import annotations

import http.client
import io
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from nvframe import __version__

MAX_CONNECTIONS = 32
"""To one host at a time; who needs one more waits for it."""

_MAX_HOSTS = 64

_USER_AGENT = f"nvframe/{__version__}"
"""Tells a server's operators which program asks, and which version."""


@dataclass(frozen=True, slots=True)
class _Route:
    """How a host is reached: its pool, headers for each request, and whether a proxy wants whole addresses."""

    pool: Any
    headers: Mapping[str, str]
    by_proxy: bool


class Connections:
    """Sends GET requests; proxies, certificates and passwords are those that requests finds, looked up once per host.

    Parameters
    ----------
    timeout : float
        Seconds to connect and between two reads.
    head_seconds : float
        Most seconds for the head of an answer, however steadily it trickles.
    """

    def __init__(self, timeout: float, head_seconds: float) -> None:
        self._timeout = urllib3.Timeout(connect=timeout, read=timeout)
        self._head_seconds = head_seconds
        self._session = requests.Session()
        self._adapter = HTTPAdapter(_MAX_HOSTS, MAX_CONNECTIONS, pool_block=True)
        self._routes: dict[tuple[str, str], _Route] = {}
        self._lock = threading.Lock()

    def get(
        self, url: str, headers: Mapping[str, str] | None = None, params: Mapping[str, Any] | None = None
    ) -> urllib3.BaseHTTPResponse:
        """Return the answer to one request, its body unread; redirects are not followed, nothing is tried again.

        Parameters
        ----------
        url : str
            Absolute.
        headers : Mapping, optional
            Besides the usual ones.
        params : Mapping, optional
            Added to the query.

        Raises
        ------
        urllib3.exceptions.HTTPError, OSError, ValueError
            Whatever keeps an answer from coming.
        """
        parts = urlsplit(url)
        query = "&".join(filter(None, (parts.query, urlencode(params or {}, doseq=True))))
        target = f"{parts.path or '/'}?{query}" if query else parts.path or "/"
        route = self._route(parts.scheme, parts.netloc)
        if route.by_proxy:
            target = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{target}"
        answer: urllib3.BaseHTTPResponse = route.pool.urlopen(
            "GET",
            target,
            headers={**route.headers, **(headers or {})},
            timeout=self._timeout,
            retries=False,
            redirect=False,
            assert_same_host=False,
            preload_content=False,
            decode_content=False,
        )
        return answer

    def close(self) -> None:
        """Close every connection that is not in use, and each of the others as soon as it is free."""
        with self._lock:
            self._routes.clear()
            self._adapter.close()

    def _route(self, scheme: str, netloc: str) -> _Route:
        with self._lock:
            route = self._routes.get((scheme, netloc))
            if route is None or route.pool.pool is None:  # closed, to make room for further hosts
                route = self._routes[scheme, netloc] = self._found(f"{scheme}://{netloc}/")
            return route

    def _found(self, url: str) -> _Route:
        asked = self._session.prepare_request(
            requests.Request("GET", url, headers={"User-Agent": _USER_AGENT})
        )
        root = str(asked.url)
        found: Any = self._session.merge_environment_settings(root, {}, True, None, None)
        proxies, verify, cert = found["proxies"], found["verify"], found["cert"]
        pool: Any = self._adapter.get_connection_with_tls_context(asked, verify, proxies, cert)
        self._adapter.cert_verify(pool, root, verify, cert)  # type: ignore[no-untyped-call]
        pool.ConnectionCls = _punctual(pool.ConnectionCls, self._head_seconds)
        by_proxy = self._adapter.request_url(asked, proxies).startswith("http")
        return _Route(pool, {str(k): str(v) for k, v in asked.headers.items()}, by_proxy)


def _punctual(connection: type[Any], seconds: float) -> type[Any]:
    """Return a class of connections like `connection`, on which the head of an answer takes `seconds` at most.

    A socket's timeout begins anew with each byte, so that a head which trickles could take days.
    """

    class Response(http.client.HTTPResponse):
        def begin(self) -> None:
            watched = _Watched(self.fp.detach(), time.monotonic() + seconds)
            self.fp = io.BufferedReader(watched)
            super().begin()
            watched.until = None

    return type(connection.__name__, (connection,), {"response_class": Response})


class _Watched(io.RawIOBase):
    """A socket's file that stops reading at a moment on the monotonic clock, if one is set."""

    def __init__(self, file: io.RawIOBase, until: float | None) -> None:
        self._file = file
        self.until = until

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.until is not None and time.monotonic() > self.until:
            raise TimeoutError("the head of the answer takes too long")
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()
