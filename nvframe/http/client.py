"""A polite HTTP client: keep-alive, bounded retries, redirects, sizes and times; a breaker per host."""

from __future__ import annotations

import math
import os
import re
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from nvframe.errors import DownloadError
from nvframe.http.retry import Breaker, Retry
from nvframe.types import ByteStream, parsed_json
from nvframe.urls import without_secrets

if TYPE_CHECKING:
    import urllib3

    from nvframe.http.connections import Connections

__all__ = ["Answer", "HttpClient", "Retry", "validator_of"]

MAX_REDIRECTS = 5
MAX_REDIRECT_BYTES = 1 << 16
MAX_JSON_BYTES = 256 << 20
CHUNK_BYTES = 1 << 18
MIN_BYTES_PER_SECOND = 10_000
MIN_EXCHANGE_SECONDS = 60.0
BREAKER_LOSSES = 5

_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")
_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})
_RETRYABLE_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answers, its body unread.

    Attributes
    ----------
    url : str
        That was asked in the end.
    raw : urllib3.BaseHTTPResponse
        The body, as it stands on the wire.
    started : float
        When it was asked for, on the monotonic clock.
    """

    url: str
    raw: urllib3.BaseHTTPResponse
    started: float

    @property
    def status(self) -> int:
        """Of HTTP."""
        return self.raw.status

    @property
    def headers(self) -> Mapping[str, str]:
        """By name, in whatever case."""
        return self.raw.headers

    def close(self) -> None:
        """Give the connection back; one whose body was not read to its end is closed."""
        self.raw.close()
        self.raw.release_conn()


class HttpClient:
    """Talks to one server; shared by threads, as are the connections that it keeps alive.

    Parameters
    ----------
    base_url : str
        ``http(s)://host…``; plain HTTP is only ever spoken to this host.
    timeout : float, default=10.0
        Seconds to connect and between two reads.
    retry : Retry, optional
        For `get_json`; one who streams a file retries by itself, to resume.
    token_variable : str, optional
        Environment variable whose value, where it is set, goes along as a bearer token: read for each request,
        never held, and sent to this server alone, over https or on this machine.
    """

    def __init__(
        self,
        base_url: str,
        timeout: float = 10.0,
        retry: Retry | None = None,
        token_variable: str | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.timeout = timeout
        self.token_variable = token_variable
        self.retry = retry or Retry()
        self.breaker = Breaker(BREAKER_LOSSES * self.retry.tries)
        self._start()

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._made: Connections | None = None
        self._aborted = False

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_lock", "_made", "_aborted")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start()

    def _connections(self) -> Connections:
        with self._lock:
            if self._made is None:
                from nvframe.http.connections import Connections

                self._made = Connections(self.timeout, self._allowance)
            return self._made

    @property
    def _allowance(self) -> float:
        """Seconds for an exchange, before what its bytes may take."""
        return max(MIN_EXCHANGE_SECONDS, 10 * self.timeout)

    def abort(self) -> None:
        """Ask for nothing more until `close`: an interrupted call need not wait for further attempts."""
        self._aborted = True

    def close(self) -> None:
        """Close every connection; the client can be used again."""
        with self._lock:
            self._aborted = False
            made, self._made = self._made, None
        if made is not None:
            made.close()

    def get_json(self, url: str, params: Mapping[str, Any] | None = None, retry: Retry | None = None) -> Any:
        """Return the JSON value at `url`.

        Parameters
        ----------
        url : str
            Absolute, or relative to the base URL.
        params : Mapping, optional
            Query parameters.
        retry : Retry, optional
            Instead of the client's own.

        Returns
        -------
        object
            The parsed body.

        Raises
        ------
        DownloadError
            If there is no usable answer; its `status` and `retryable` say why.
        """
        return (retry or self.retry)(lambda: self._json_once(url, params))

    def _json_once(self, url: str, params: Mapping[str, Any] | None) -> Any:
        with self.stream(url, {"Accept": "application/json"}, params, is_file=False) as answer:
            body = b"".join(self.chunks(answer, MAX_JSON_BYTES, decode=True))
            kind = answer.headers.get("Content-Type", "")
        try:
            return parsed_json(body)
        except ValueError as error:
            what = "an HTML page" if "html" in kind or body.lstrip()[:1] == b"<" else "invalid JSON"
            raise DownloadError(f"{without_secrets(answer.url)} answered {what}", retryable=True) from error

    @contextmanager
    def stream(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        is_file: bool = True,
    ) -> Iterator[Answer]:
        """Open `url` once, following checked redirects; the body is not read yet.

        Files and metadata (`is_file` False) are counted apart where a host fails.

        Raises
        ------
        DownloadError
            For connection errors, statuses other than 200 and 206, and redirects that lead astray.
        """
        from urllib3.exceptions import HTTPError

        url = self._absolute(url)
        if self._aborted:
            raise DownloadError("the call was interrupted", retryable=True, retry_after=math.inf)
        host = _host(url)
        self.breaker.check(host)
        try:
            answer = self._follow(url, headers, params)
        except (HTTPError, OSError, ValueError) as error:
            lost = _lost(url, error)
            self.breaker.note(host, lost, is_file)
            raise lost from error
        try:
            _raise_for_status(answer)
            yield answer
        except DownloadError as error:
            self.breaker.note(host, error, is_file)
            raise
        else:
            self.breaker.note(host, is_file=is_file)
        finally:
            answer.close()

    @contextmanager
    def file(
        self, url: str, start: int = 0, validator: str | None = None, limit: int | None = None
    ) -> Iterator[ByteStream]:
        """Open a file once, as `MetadataSource.open_image` hands it on; resumed where the server can.

        Parameters
        ----------
        url : str
            Absolute, or relative to the base URL.
        start : int, default=0
            First byte wanted, if `validator` still names the same file.
        validator : str, optional
            From the `ByteStream` of an earlier attempt.
        limit : int, optional
            Most bytes to accept.

        Raises
        ------
        DownloadError
            As from `stream`; and for a part of the file of which the server does not say where it begins.
        """
        # A server that compresses on the fly could not say how many bytes to expect.
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
        if start and validator:
            headers |= {"Range": f"bytes={start}-", "If-Range": validator}
        with self.stream(url, headers) as answer:
            offset, size = _extent(answer.status, answer.headers)
            yield ByteStream(size, validator_of(answer.headers), self.chunks(answer, limit), offset)

    def _absolute(self, url: str, base: str | None = None) -> str:
        """Return `url` joined to `base`, or raise DownloadError for one that is malformed or leads astray."""
        try:
            url = urljoin(base or f"{self.base_url}/", url)
            parts, own = urlsplit(url), urlsplit(self.base_url)
            own_host = parts.scheme in ("http", "https") and parts.hostname == own.hostname
        except ValueError as error:
            raise DownloadError(f"{without_secrets(url):.200} is not a valid URL") from error
        if not (parts.scheme == "https" and parts.hostname) and not own_host:
            raise DownloadError(
                f"refused to follow a link to {without_secrets(url):.200}: "
                f"only https, or {own.hostname} itself, is asked"
            )
        return url

    def _follow(
        self, url: str, headers: Mapping[str, str] | None, params: Mapping[str, Any] | None
    ) -> Answer:
        connections, started = self._connections(), time.monotonic()
        for _ in range(MAX_REDIRECTS + 1):
            answer = Answer(url, connections.get(url, self._with_token(url, headers), params), started)
            location = answer.raw.get_redirect_location()
            if not location:
                return answer
            with suppress(DownloadError):  # a short body, read to its end, keeps the connection alive
                deque(self.chunks(answer, MAX_REDIRECT_BYTES), maxlen=0)
            answer.close()
            url, params = self._absolute(location, url), None
        raise DownloadError(f"{without_secrets(url)}: more than {MAX_REDIRECTS} redirects")

    def _with_token(self, url: str, headers: Mapping[str, str] | None) -> Mapping[str, str] | None:
        """Add the token, unless `url` is not this server's own, as after a redirect, or would show it to others."""
        token = os.environ.get(self.token_variable or "", "").strip()
        parts = urlsplit(url)
        safe = parts.scheme == "https" or parts.hostname in _THIS_MACHINE
        if not token or not safe or parts[:2] != urlsplit(self.base_url)[:2]:
            return headers
        if not (token.isascii() and token.isprintable() and " " not in token):
            raise DownloadError(f"{self.token_variable} holds no token: it has characters that none has")
        return {**(headers or {}), "Authorization": f"Bearer {token}"}

    def chunks(self, answer: Answer, limit: int | None, decode: bool = False) -> Iterator[bytes]:
        """Yield the body, within `limit` bytes and within the time a living exchange may take.

        Parameters
        ----------
        answer : Answer
            From `stream`.
        limit : int or None
            Most bytes to accept.
        decode : bool, default=False
            Undo a Content-Encoding. Files are taken as they stand on the wire: NeuroVault labels them ``utf-8``.

        Raises
        ------
        DownloadError
            When the limit or the time is exceeded, or the connection breaks.
        """
        from urllib3.exceptions import HTTPError

        address, received = without_secrets(answer.url), 0
        try:
            # read1 gives what has arrived; read would wait for a whole chunk, and a trickle could hold it for days
            while chunk := answer.raw.read1(CHUNK_BYTES, decode_content=decode):
                received += len(chunk)
                if limit is not None and received > limit:
                    raise DownloadError(f"{address} sent more than {limit} bytes")
                if time.monotonic() - answer.started > self._allowance + received / MIN_BYTES_PER_SECOND:
                    raise DownloadError(
                        f"{address} sent only {received} bytes in {self._allowance:.0f} s", retryable=True
                    )
                yield chunk
        except HTTPError as error:
            raise DownloadError(f"{address} broke off after {received} bytes", retryable=True) from error


def _extent(status: int, headers: Mapping[str, str]) -> tuple[int, int | None]:
    """Return (offset of the body's first byte, size of the whole file)."""
    if status == 206:
        match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
        if match is None:
            raise DownloadError("the server sent a part without saying which", retryable=True)
        return int(match[1]), int(match[2])
    length = headers.get("Content-Length", "")
    return 0, int(length) if length.isdecimal() else None


def validator_of(headers: Mapping[str, str]) -> str | None:
    """Return the strong ETag, else Last-Modified: what ``If-Range`` accepts."""
    etag = headers.get("ETag", "")
    if etag.startswith('"'):
        return etag
    return headers.get("Last-Modified")


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def _raise_for_status(answer: Answer) -> None:
    status = answer.status
    if status in (200, 206):
        return
    detail = _detail(answer)
    raise DownloadError(
        f"{without_secrets(answer.url)} answered {status} {answer.raw.reason or ''}".rstrip() + detail,
        retryable=status in _RETRYABLE_STATUSES,
        status=status,
        retry_after=_wait_asked(answer.headers),
    )


def _detail(answer: Answer) -> str:
    """Return the server's own reason, where it gives one as NeuroVault does: ``{"detail": …}``."""
    import orjson

    if "json" not in answer.headers.get("Content-Type", ""):
        return ""
    try:
        value = orjson.loads(answer.raw.read1(10_000, decode_content=True))
        # What a server writes may end on a terminal: no control characters.
        return ": " + "".join(c if c.isprintable() else "?" for c in str(value["detail"])[:200])
    except Exception:
        return ""


def _wait_asked(headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait: ``Retry-After``, else until the allowance that is used up begins anew."""
    asked = _retry_after(headers.get("Retry-After"))
    reset = headers.get("X-RateLimit-Reset", "")
    if asked is None and headers.get("X-RateLimit-Remaining") == "0" and reset.isdecimal():
        return max(0.0, float(reset) - time.time())
    return asked


def _retry_after(value: str | None) -> float | None:
    if not value:
        return None
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def _lost(url: str, error: Exception) -> DownloadError:
    """Return the error for a request that no answer came to."""
    from urllib3 import exceptions

    host, kind = _host(url), type(error).__name__
    refused = (exceptions.NewConnectionError, exceptions.ProxyError, exceptions.SSLError)
    if isinstance(error, (*refused, exceptions.ProtocolError)):
        return DownloadError(f"{host} cannot be reached, or closed the connection ({kind})", retryable=True)
    if isinstance(error, exceptions.ConnectTimeoutError):
        return DownloadError(f"{host} could not be reached in time: raise `timeout`", retryable=True)
    if isinstance(error, exceptions.TimeoutError):
        late = "did not answer in time: raise `timeout`"
        return DownloadError(f"{without_secrets(url)} {late}", retryable=True)
    return DownloadError(f"{without_secrets(url)}: {kind}")
