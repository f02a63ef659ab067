"""A polite HTTP client: keep-alive, bounded retries, redirects, sizes and times; a breaker per host."""

from __future__ import annotations

import logging
import math
import random
import re
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urljoin, urlsplit, urlunsplit

from nvframe.errors import DownloadError
from nvframe.types import parsed_json

if TYPE_CHECKING:
    import requests

log = logging.getLogger(__name__)
T = TypeVar("T")

MAX_REDIRECTS = 5
MAX_REDIRECT_BYTES = 1 << 16
MAX_JSON_BYTES = 256 << 20
CHUNK_BYTES = 1 << 18
MIN_BYTES_PER_SECOND = 10_000
MIN_EXCHANGE_SECONDS = 60.0
MAX_WAIT_SECONDS = 60.0
BREAKER_LOSSES = 5

_RETRYABLE_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Retry:
    """How often to try again, and after which pauses.

    Parameters
    ----------
    tries : int, default=4
        Attempts where trying again makes sense.
    backoff : float, default=0.5
        Seconds before the second attempt; doubles with each further one.

    Examples
    --------
    >>> Retry(tries=2)(lambda: "answer")
    'answer'
    """

    tries: int = 4
    backoff: float = 0.5

    def __call__(self, attempt: Callable[[], T]) -> T:
        """Return what `attempt` returns; try again after retryable DownloadErrors."""
        for n in range(1, self.tries):
            try:
                return attempt()
            except DownloadError as error:
                wait = self.pause(n, error)
                if wait is None:
                    raise
                log.info("%s; trying again in %.1f s (%d of %d)", error, wait, n + 1, self.tries)
                time.sleep(wait)
        return attempt()

    def pause(self, n: int, error: DownloadError) -> float | None:
        """Return the seconds to wait after failed attempt `n`; None where another makes no sense."""
        asked = error.retry_after or 0.0
        if not error.retryable or asked > MAX_WAIT_SECONDS:
            return None
        # Jitter keeps many workers from coming back at one moment.
        wait = self.backoff * 2 ** (n - 1) * (1 + random.random() / 4)  # noqa: S311 - no secret
        return float(min(max(wait, asked), MAX_WAIT_SECONDS))


class Breaker:
    """Counts failed attempts in a row per host, so that a dead host is not asked for every image.

    Parameters
    ----------
    attempts : int
        After that many in a row no further request goes to the host.
    """

    def __init__(self, attempts: int) -> None:
        self._limit = attempts
        # Files and metadata apart: a server may answer for its lists and still have lost its files.
        self._in_a_row: defaultdict[tuple[str, bool], int] = defaultdict(int)
        self._causes: dict[str, DownloadError] = {}
        self._lock = threading.Lock()

    def check(self, url: str) -> None:
        """Raise DownloadError if the host of `url` has failed too often."""
        host = _host(url)
        if max(self._in_a_row[host, is_file] for is_file in (True, False)) >= self._limit:
            raise DownloadError(
                f"no further request to {host} in this call: {self._limit} in a row failed "
                f"({self._causes[host]}); try again later",
                retryable=True,
                retry_after=math.inf,  # a later call may succeed, not a later attempt of this one
            )

    def note(self, url: str, error: DownloadError | None = None, is_file: bool = True) -> None:
        """Count a connection error or 5xx; a success, or any other answer, shows a living host."""
        lost = error is not None and error.retryable and (error.status is None or error.status >= 500)
        if error is not None and error.status == 500 and not is_file:
            lost = False  # one row that the server cannot render does this to a list
        key = (_host(url), is_file)
        with self._lock:
            if error is not None and lost:
                self._causes[_host(url)] = error
            self._in_a_row[key] = self._in_a_row[key] + 1 if lost else 0

    def __reduce__(self) -> tuple[type[Breaker], tuple[int]]:
        # Each process counts for itself: a lock does not travel.
        return Breaker, (self._limit,)


class HttpClient:
    """Talks to one server; shared by threads, each of which keeps a connection of its own alive.

    Parameters
    ----------
    base_url : str
        ``http(s)://host…``; plain HTTP is only ever spoken to this host.
    timeout : float, default=10.0
        Seconds to connect and between two reads.
    retry : Retry, optional
        For `get_json`; one who streams a file retries by itself, to resume.
    """

    def __init__(self, base_url: str, timeout: float = 10.0, retry: Retry | None = None) -> None:
        self.base_url = base_url.rstrip("/")
        self.timeout = timeout
        self.retry = retry or Retry()
        self.breaker = Breaker(BREAKER_LOSSES * self.retry.tries)
        self._start_sessions()

    def _start_sessions(self) -> None:
        self._local = threading.local()
        self._sessions: list[requests.Session] = []
        self._lock = threading.Lock()
        self._aborted = False

    def __getstate__(self) -> dict[str, Any]:
        private = {"_local", "_sessions", "_lock", "_aborted"}
        return {k: v for k, v in self.__dict__.items() if k not in private}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start_sessions()

    def abort(self) -> None:
        """Ask for nothing more until `close`: an interrupted call need not wait for further attempts."""
        self._aborted = True

    def close(self) -> None:
        """Close every connection; the client can be used again."""
        with self._lock:
            self._aborted = False
            sessions, self._sessions = self._sessions, []
            self._local = threading.local()
        for session in sessions:
            session.close()

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
        with self.stream(url, {"Accept": "application/json"}, params, is_file=False) as response:
            body = b"".join(self.chunks(response, MAX_JSON_BYTES, decode=True))
            kind = response.headers.get("Content-Type", "")
        try:
            return parsed_json(body)
        except ValueError as error:
            what = "an HTML page" if "html" in kind or body.lstrip()[:1] == b"<" else "no valid JSON"
            raise DownloadError(f"{without_secrets(response.url)} answered {what}", retryable=True) from error

    @contextmanager
    def stream(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        is_file: bool = True,
    ) -> Iterator[requests.Response]:
        """Open `url` once, following checked redirects; the body is not read yet.

        Files and metadata (`is_file` False) are counted apart where a host fails.

        Raises
        ------
        DownloadError
            For connection errors, statuses other than 200 and 206, and redirects that lead astray.
        """
        import requests
        import urllib3

        url = self._absolute(url)
        if self._aborted:
            raise DownloadError("the call was interrupted", retryable=True, retry_after=math.inf)
        self.breaker.check(url)
        try:
            response = self._follow(url, headers, params)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            passing = isinstance(
                error, (requests.ConnectionError, requests.Timeout, urllib3.exceptions.ProtocolError)
            )
            lost = DownloadError(_connection_problem(url, error), retryable=passing)
            self.breaker.note(url, lost, is_file)
            raise lost from error
        try:
            _raise_for_status(response)
            yield response
        except DownloadError as error:
            self.breaker.note(url, error, is_file)
            raise
        else:
            self.breaker.note(url, is_file=is_file)
        finally:
            response.close()

    def _absolute(self, url: str, base: str | None = None) -> str:
        """Return `url` joined to `base`, or raise DownloadError for one that is malformed or leads astray."""
        try:
            url = urljoin(base or f"{self.base_url}/", url)
            parts, own = urlsplit(url), urlsplit(self.base_url)
            own_host = parts.scheme in ("http", "https") and parts.hostname == own.hostname
        except ValueError as error:
            raise DownloadError(f"{without_secrets(url):.200} is no valid URL") from error
        if not (parts.scheme == "https" and parts.hostname) and not own_host:
            raise DownloadError(
                f"refused to follow a link to {without_secrets(url):.200}: "
                f"only https, or {own.hostname} itself, is asked"
            )
        return url

    def _follow(
        self, url: str, headers: Mapping[str, str] | None, params: Mapping[str, Any] | None
    ) -> requests.Response:
        session = self._session()
        for _ in range(MAX_REDIRECTS + 1):
            response = session.get(
                url, params=params, headers=headers, stream=True, timeout=self.timeout, allow_redirects=False
            )
            if not response.is_redirect:
                return response
            with suppress(DownloadError):  # a short body, read to its end, keeps the connection alive
                deque(self.chunks(response, MAX_REDIRECT_BYTES), maxlen=0)
            response.close()
            url, params = self._absolute(response.headers["Location"], response.url), None
        raise DownloadError(f"{without_secrets(url)}: more than {MAX_REDIRECTS} redirects")

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            import requests

            session = self._local.session = requests.Session()
            session.headers["User-Agent"] = "nvframe"
            # requests would read a redirect's body to its end and parse where it leads before we may look
            session.get_redirect_target = lambda resp: None  # type: ignore[method-assign]
            _remember_environment(session)
            with self._lock:
                self._sessions.append(session)
        return session

    def chunks(self, response: requests.Response, limit: int | None, decode: bool = False) -> Iterator[bytes]:
        """Yield the body, within `limit` bytes and within the time a living exchange may take.

        Parameters
        ----------
        response : requests.Response
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
        import urllib3

        started = time.monotonic()
        allowance = max(MIN_EXCHANGE_SECONDS, 10 * self.timeout)
        received = 0
        try:
            # read1 gives what has arrived; read would wait for a whole chunk, and a trickle could hold it for days
            while chunk := response.raw.read1(CHUNK_BYTES, decode_content=decode):
                received += len(chunk)
                if limit is not None and received > limit:
                    raise DownloadError(f"{without_secrets(response.url)} sent more than {limit} bytes")
                if time.monotonic() - started > allowance + received / MIN_BYTES_PER_SECOND:
                    raise DownloadError(
                        f"{without_secrets(response.url)} sent only {received} bytes in {allowance:.0f} s",
                        retryable=True,
                    )
                yield chunk
        except urllib3.exceptions.HTTPError as error:
            raise DownloadError(
                f"{without_secrets(response.url)} broke off after {received} bytes", retryable=True
            ) from error


def _remember_environment(session: requests.Session) -> None:
    """Let a session look proxies and certificates up once per host: in the environment that costs 0.4 ms a time."""
    look_up = session.merge_environment_settings
    known: dict[tuple[str, str], Any] = {}

    def remembered(url: str, *given: Any) -> Any:
        host = urlsplit(url)[:2]
        if host not in known:
            known[host] = look_up(url, *given)
        return known[host]

    session.merge_environment_settings = remembered  # type: ignore[method-assign, assignment]


def validator_of(headers: Mapping[str, str]) -> str | None:
    """Return the strong ETag, else Last-Modified: what ``If-Range`` accepts."""
    etag = headers.get("ETag", "")
    if etag.startswith('"'):
        return etag
    return headers.get("Last-Modified")


def without_secrets(url: str) -> str:
    """Return `url` without user, password and query: fit for a log.

    Examples
    --------
    >>> without_secrets("https://me:pw@host/a?token=x")
    'https://host/a'
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return re.sub(r"(?<=://)[^/]*@", "", url).partition("?")[0]
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def _raise_for_status(response: requests.Response) -> None:
    status = response.status_code
    if status in (200, 206):
        return
    detail = _detail(response)
    raise DownloadError(
        f"{without_secrets(response.url)} answered {status} {response.reason or ''}".rstrip() + detail,
        retryable=status in _RETRYABLE_STATUSES,
        status=status,
        retry_after=_retry_after(response.headers.get("Retry-After")),
    )


def _detail(response: requests.Response) -> str:
    """Return the server's own reason, where it gives one as NeuroVault does: ``{"detail": …}``."""
    import orjson

    if "json" not in response.headers.get("Content-Type", ""):
        return ""
    try:
        value = orjson.loads(response.raw.read1(10_000, decode_content=True))
        # What a server writes may end on a terminal: no control characters.
        return ": " + "".join(c if c.isprintable() else "?" for c in str(value["detail"])[:200])
    except Exception:
        return ""


def _retry_after(value: str | None) -> float | None:
    if not value:
        return None
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def _connection_problem(url: str, error: Exception) -> str:
    import requests

    host = _host(url)
    if isinstance(error, requests.ReadTimeout):
        return f"{without_secrets(url)} did not answer in time: raise `timeout`"
    if isinstance(error, requests.ConnectTimeout):
        return f"{host} could not be reached in time: raise `timeout`"
    if isinstance(error, requests.ConnectionError):
        return f"{host} cannot be reached, or closed the connection ({type(error).__name__})"
    return f"{without_secrets(url)}: {type(error).__name__}"
