"""The two libraries, called alike."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
from nilearn.datasets import neurovault as nilearn
from zlib_ng import zlib_ng

import nvframe


@contextmanager
def pointed_at(url: str) -> Iterator[None]:
    """Point nilearn and nvframe at a server."""
    api = f"{url}/api/"
    own = {
        "_NEUROVAULT_BASE_URL": api,
        "_NEUROVAULT_COLLECTIONS_URL": f"{api}collections/",
        "_NEUROVAULT_IMAGES_URL": f"{api}images/",
    }
    usual = {name: getattr(nilearn, name) for name in own}
    vars(nilearn).update(own)
    os.environ["NVFRAME_NEUROVAULT_URL"] = url
    try:
        yield
    finally:
        vars(nilearn).update(usual)
        del os.environ["NVFRAME_NEUROVAULT_URL"]
        nilearn._requests_session.session = None


def peer_fetch(directory: Path, expected: int, **query: Any) -> Any:
    """Fetch with nilearn and check the number of images."""
    nilearn._requests_session.session = None  # each call starts without a connection, as a script does
    bunch = nilearn.fetch_neurovault(data_dir=directory, verbose=0, **query)
    return _checked(bunch, expected)


def our_fetch(directory: Path, expected: int, workers: int | None = None, **query: Any) -> Any:
    """Fetch with nvframe's call of the same name and check the number of images."""
    with nvframe.set_options(max_workers=workers):
        bunch = nvframe.fetch_neurovault(data_dir=directory, verbose=0, **query)
    return _checked(bunch, expected)


def _checked(bunch: Any, expected: int) -> Any:
    if len(bunch.images) != expected:
        raise RuntimeError(f"{len(bunch.images)} of {expected} images came: this is not a measurement")
    return bunch


def raw_fetch(url: str, directory: Path, workers: int, *checks: Callable[[bytearray], object]) -> None:
    """Fetch the same bytes with bare sockets, as fast as the server and Python's sockets allow, and check each file."""
    listing = _Connection(url)
    images: list[str] = []
    for collection in orjson.loads(listing.get("/api/collections/?limit=1000"))["results"]:
        page = listing.get(f"/api/collections/{collection['id']}/images/?limit=1000")
        images += [row["file"] for row in orjson.loads(page)["results"]]
    with ThreadPoolExecutor(workers) as pool:
        parts = [images[i::workers] for i in range(workers)]
        list(pool.map(lambda part: _save(url, directory, part, checks), parts))


def _save(
    url: str, directory: Path, images: list[str], checks: Sequence[Callable[[bytearray], object]]
) -> None:
    connection = _Connection(url)
    for image in images:
        data = connection.get(urlsplit(image).path)
        for check in checks:
            check(data)
        (directory / image.rpartition("/")[2]).write_bytes(data)


def inflate(data: bytearray) -> None:
    """Look at gzip's checksum, in pieces: a buffer for all of it would be fresh pages each time."""
    member = zlib_ng.decompressobj(31)
    rest: Any = data
    while not member.eof:
        member.decompress(rest, 1 << 20)
        rest = member.unconsumed_tail


class _Connection:
    """One socket that speaks just enough HTTP."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def get(self, target: str) -> bytearray:
        self._socket.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        data = bytearray()
        while b"\r\n\r\n" not in data:
            data += self._socket.recv(1 << 18)
        head, _, body = bytes(data).partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        whole, received = bytearray(length), len(body)
        whole[:received] = body
        with memoryview(whole) as view:
            while received < length:
                received += self._socket.recv_into(view[received:])
        return whole
