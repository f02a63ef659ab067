"""Run an ASGI app on a socket: in a thread for a `with` block, or for good."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from nvframe.mirror.app import create_app
from nvframe.mirror.requirement import mirror_extra

with mirror_extra():
    import uvicorn

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from nvframe.mirror.catalogue import Catalogue

_KEEP_ALIVE = 75
"""Seconds that an idle connection is kept: clients that pause between images find it open."""


class Server:
    """An ASGI app on loopback, in a thread of its own, as long as a `with` block lasts.

    Leaving the block ends everything at once: requests that still run are cut off.

    Parameters
    ----------
    app : ASGI application
        Such as `create_app` returns.
    host : str, default="127.0.0.1"
        Address to listen on.
    port : int, default=0
        0 for any that is free.

    Attributes
    ----------
    url : str
        Where it answers, without a slash at the end.

    Examples
    --------
    >>> import requests
    >>> from nvframe.mirror import StoredCatalogue, create_app
    >>> with Server(create_app(StoredCatalogue())) as server:
    ...     requests.get(f"{server.url}/api/images/", timeout=5).json()["count"]
    0
    """

    def __init__(self, app: ASGIApp, host: str = "127.0.0.1", port: int = 0) -> None:
        self._app = app
        self._address = (host, port)
        self._uvicorn: _ThreadedServer | None = None
        self._thread: threading.Thread | None = None
        self.url = ""

    def start(self) -> Self:
        """Listen, and return once requests are answered."""
        if self._thread is not None:
            raise RuntimeError(f"this server already runs at {self.url}")
        listening = _listen(*self._address)
        self.url = _url_of(listening)
        config = uvicorn.Config(
            cast(Any, _until_cancelled(self._app)),
            loop="asyncio",
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=_KEEP_ALIVE,
        )
        self._uvicorn = _ThreadedServer(config)
        self._thread = threading.Thread(
            target=self._uvicorn.run, args=([listening],), name="nvframe-mirror", daemon=True
        )
        self._thread.start()
        self._uvicorn.ready.wait()
        return self

    def stop(self) -> None:
        """Close every connection and wait for the thread; does nothing where none runs."""
        if self._thread is None or self._uvicorn is None:
            return
        self._uvicorn.stop()
        self._thread.join()
        self._thread = self._uvicorn = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def serve(
    catalogue: Catalogue,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    base_url: str | None = None,
    on_start: Callable[[str], object] | None = None,
) -> None:
    """Serve a catalogue until the process is interrupted.

    Parameters
    ----------
    catalogue : Catalogue
        From `nvframe.mirror.load`.
    host : str, default="127.0.0.1"
        Address to listen on; ``0.0.0.0`` lets other machines in, and there are no passwords.
    port : int, default=8000
        0 for any that is free.
    base_url : str, optional
        Address that clients use, where it is another one.
    on_start : callable, optional
        Called with the server's URL once it listens.

    Raises
    ------
    OSError
        If the port is taken.
    """
    listening = _listen(host, port)
    config = uvicorn.Config(
        create_app(catalogue, base_url=base_url),
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=3,
    )
    if on_start is not None:
        on_start(_url_of(listening))
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run([listening])


class _ThreadedServer(uvicorn.Server):
    """uvicorn's server, woken by an event instead of looking for a flag ten times a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked_to_stop: asyncio.Event | None = None

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            super().run(sockets)
        finally:
            self.ready.set()  # whatever happened, nobody waits for ever

    async def main_loop(self) -> None:
        self._loop, self._asked_to_stop = asyncio.get_running_loop(), asyncio.Event()
        await self.on_tick(0)
        self.ready.set()
        await self._asked_to_stop.wait()

    def stop(self) -> None:
        if self._loop is not None and self._asked_to_stop is not None:
            self._loop.call_soon_threadsafe(self._asked_to_stop.set)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Cut connections off, then end their tasks; uvicorn's own way waits for slow clients."""
        for server in self.servers:
            server.close()
        for listening in sockets or ():
            listening.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for server in self.servers:
            await server.wait_closed()


def _until_cancelled(app: ASGIApp) -> ASGIApp:
    """Return `app` ending in silence when the server stops; uvicorn would log a traceback."""

    async def quiet(scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(asyncio.CancelledError):
            await app(scope, receive, send)

    return quiet


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio switches Nagle's delay off only where the protocol is named: 40 ms per answer otherwise
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(1024)
    except BaseException:
        listening.close()
        raise
    return listening


def _url_of(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
