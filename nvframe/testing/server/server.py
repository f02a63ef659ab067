"""A NeuroVault on loopback that fails on request."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import weakref
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from nvframe.mirror.app import create_app
from nvframe.mirror.catalogue import Catalogue
from nvframe.mirror.loaders import load_corpus, load_dataset
from nvframe.mirror.server import Server
from nvframe.testing.corpus.synthetic import synthetic_corpus
from nvframe.testing.server.exchange import BREAK, App, Message, Receive, Scope, Send
from nvframe.testing.server.faults import FaultScript


@dataclass(slots=True)
class Request:
    """One request that arrived.

    Attributes
    ----------
    method, path, query : str
        The path decoded, the query as sent.
    headers : dict of str
        Names in lower case.
    client : tuple of (str, int)
        Host and port: equal for requests over one connection.
    status : int or None
        Of the answer; None as long as there is none, or where there never was one.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    client: tuple[str, int]
    status: int | None = None

    @property
    def target(self) -> str:
        """Path and query."""
        return f"{self.path}?{self.query}" if self.query else self.path


class NeuroVaultServer:
    """NeuroVault and Neurosynth on loopback, with a log of requests and scripted faults.

    Parameters
    ----------
    catalogue : Catalogue
        What it serves; see the class methods for the usual ways.
    latency : float, default=0.0
        Seconds before every answer.
    connection_latency : float, default=0.0
        Seconds more before the first answer on a new connection.

    Attributes
    ----------
    url : str
        Where it answers, without a slash at the end.
    faults : FaultScript
        ``server.faults.add(kind, path, times=…, …)``.

    Examples
    --------
    >>> import requests
    >>> with NeuroVaultServer.synthetic(1, 2) as server:
    ...     _ = server.faults.add("status", "/api/images/", status=502)
    ...     first = requests.get(f"{server.url}/api/images/", timeout=5)
    ...     second = requests.get(f"{server.url}/api/images/", timeout=5)
    ...     statuses = [request.status for request in server.requests]
    >>> statuses, second.json()["count"]
    ([502, 200], 2)
    """

    def __init__(
        self, catalogue: Catalogue, *, latency: float = 0.0, connection_latency: float = 0.0
    ) -> None:
        self.faults = FaultScript()
        self._pauses = FaultScript()
        if latency:
            self._pauses.add("latency", seconds=latency)
        if connection_latency:
            self._pauses.add("latency", seconds=connection_latency, new_connections_only=True)
        self._app: App = create_app(catalogue)
        self._server = Server(self._answer)
        self._lock = threading.Condition()
        self._requests: list[Request] = []
        self._clients: set[tuple[str, int]] = set()

    @classmethod
    def from_corpus(cls, path: str | os.PathLike[str], **options: Any) -> Self:
        """Serve a corpus folder; `options` as for the class."""
        return cls(load_corpus(os.fspath(path)), **options)

    @classmethod
    def from_dataset(cls, url: str | os.PathLike[str], **options: Any) -> Self:
        """Serve a dataset directory as nvframe or nilearn left it; `options` as for the class."""
        return cls(load_dataset(os.fspath(url)), **options)

    @classmethod
    def synthetic(
        cls,
        n_collections: int = 3,
        images_per_collection: int = 4,
        seed: int = 0,
        *,
        shape: tuple[int, int, int] | None = None,
        affine: Any = None,
        grids: Any = ("RAS-8mm",),
        specials: bool = False,
        words: bool = True,
        **options: Any,
    ) -> Self:
        """Serve a corpus made for the occasion, coarse and so quick to make.

        Parameters
        ----------
        n_collections, images_per_collection, seed, grids, specials, words
            As for `nvframe.testing.synthetic_corpus`, but all maps pass the default terms.
        shape, affine : optional
            One grid for all maps, instead of `grids`.
        **options
            As for the class.
        """
        directory = Path(tempfile.mkdtemp(prefix="nvframe-synthetic-"))
        if shape is not None and affine is not None:
            grids = [(affine, tuple(shape))]
        try:
            synthetic_corpus(
                directory,
                n_collections,
                images_per_collection,
                seed,
                grids=grids,
                specials=specials,
                words=words,
            )
            server = cls.from_corpus(directory, **options)
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise
        weakref.finalize(server, shutil.rmtree, directory, ignore_errors=True)
        return server

    @property
    def url(self) -> str:
        """Where it answers."""
        return self._server.url

    @property
    def environ(self) -> dict[str, str]:
        """Environment variables that point nvframe at this server."""
        return {"NVFRAME_NEUROVAULT_URL": self.url, "NVFRAME_NEUROSYNTH_URL": self.url}

    @property
    def requests(self) -> list[Request]:
        """What arrived so far, in order."""
        with self._lock:
            return list(self._requests)

    def wait_for(self, count: int, timeout: float = 10.0) -> bool:
        """Wait until `count` requests have arrived; False if they did not in `timeout` seconds."""
        with self._lock:
            return self._lock.wait_for(lambda: len(self._requests) >= count, timeout)

    def clear(self) -> None:
        """Forget the requests logged and the faults scripted."""
        self.faults.clear()
        with self._lock:
            self._requests.clear()

    def start(self) -> Self:
        """Listen on a free port of loopback."""
        self._server.start()
        return self

    def stop(self) -> None:
        """Close every connection; requests that hang end here."""
        self._server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Log a request, let its faults befall it, and answer."""
        request = Request(
            scope["method"],
            scope["path"],
            scope["query_string"].decode("latin-1"),
            {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]},
            tuple(scope["client"]),
        )
        with self._lock:
            self._requests.append(request)
            scope["nvframe.new_connection"] = request.client not in self._clients
            self._clients.add(request.client)
            self._lock.notify_all()
        # uvicorn hands out a bound method of the exchange, and nothing else knows the connection
        scope[BREAK] = getattr(send, "__self__").transport.close  # noqa: B009

        async def logged(message: Message) -> None:
            if message["type"] == "http.response.start":
                request.status = message["status"]
            await send(message)

        app = self.faults.around(self._app, request.method, request.target)
        await self._pauses.around(app, request.method, request.target)(scope, receive, logged)
