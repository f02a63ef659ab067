"""One image's bytes, whole and verified: resumed where the server can, retried where it helps."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nvframe.errors import DownloadError, IntegrityError
from nvframe.http.retry import Retry
from nvframe.imaging.header import ImageInfo
from nvframe.imaging.stream_verifier import Arriving
from nvframe.types import ByteStream, ImageRecord

if TYPE_CHECKING:
    from nvframe.contracts import MetadataSource

log = logging.getLogger(__name__)

_NO_SUCH_RANGE = 416

MAX_RAW_BYTES = 2 << 30
"""Largest uncompressed image: more than any map needs, and what one worker may hold in memory."""

# Of a fixed length, and there in every Python.
_CHECKSUMS = hashlib.algorithms_guaranteed - {"shake_128", "shake_256"}

INTEGRITY_TRIES = 2
"""Downloads of a file that arrives complete but is not an image: once more, in case a proxy answered."""


@dataclass(frozen=True, slots=True)
class Downloaded:
    """An image that arrived whole.

    Attributes
    ----------
    data : bytes
        As it was served.
    sha256 : str
        Of `data`.
    is_packed : bool
        Whether `data` is gzipped.
    raw : bytes
        The uncompressed NIfTI file; of a gzipped one only if it was asked for.
    info : ImageInfo
        From its header.
    """

    data: bytes
    sha256: str
    is_packed: bool
    raw: bytes
    info: ImageInfo


class Download:
    """Collects an image's bytes over as many attempts as it takes, and judges them as they come.

    Parameters
    ----------
    source : MetadataSource
        Opens the image.
    record : ImageRecord
        Which image.
    keep_raw : bool, default=False
        Whether the uncompressed bytes are wanted too.

    Attributes
    ----------
    received : int
        Bytes that came over the network in all attempts.
    """

    def __init__(self, source: MetadataSource, record: ImageRecord, keep_raw: bool = False) -> None:
        self._source = source
        self._record = record
        self._keep_raw = keep_raw
        self.received = 0
        self._forget()

    def _forget(self) -> None:
        self._chunks: list[bytes] = []
        self._length = 0
        self._sha256 = hashlib.sha256()
        self._arriving = Arriving(MAX_RAW_BYTES, self._keep_raw)
        self._validator: str | None = None
        self._checksum: str | None = None

    def run(self, retry: Retry) -> Downloaded:
        """Return the image.

        Raises
        ------
        DownloadError
            If the bytes could not be fetched.
        IntegrityError
            If they are not the image that was promised.
        """
        for tries_left in reversed(range(INTEGRITY_TRIES)):
            try:
                retry(self._attempt)
                return self._whole()
            except IntegrityError as error:
                if not tries_left:
                    raise
                log.info("image %s: %s; fetching it once more", self._record.id, error)
                self._forget()
        raise AssertionError("INTEGRITY_TRIES is at least 1")  # pragma: no cover

    def _attempt(self) -> None:
        if self._validator is None:
            self._forget()
        with self._opened() as stream:
            if stream.start == 0:
                self._forget()
            self._check_resumed(stream)
            self._validator = stream.validator or self._validator
            self._checksum = stream.checksum
            for chunk in stream.chunks:
                self._take(chunk)
            self._check_length(stream)

    @contextmanager
    def _opened(self) -> Iterator[ByteStream]:
        try:
            with self._source.open_image(self._record, self._length, self._validator) as stream:
                yield stream
        except DownloadError as error:
            if error.status != _NO_SUCH_RANGE or not self._length:
                raise
            self._forget()
            raise DownloadError(str(error), retryable=True, status=error.status) from error

    def _check_resumed(self, stream: ByteStream) -> None:
        """Raise unless what comes is the rest of the same file: a server may disregard ``If-Range``."""
        elsewhere = stream.start != self._length
        changed = stream.start > 0 and stream.validator not in (None, self._validator)
        if elsewhere or changed:
            self._forget()
            what = "resumed at another place than asked" if elsewhere else "resumed with another file"
            raise DownloadError(f"the server {what}", retryable=True)

    def _take(self, chunk: bytes) -> None:
        """Keep what arrived; a body that is not an image, or goes on beyond what its header promises, ends here."""
        self._chunks.append(chunk)
        self._length += len(chunk)
        self.received += len(chunk)
        self._sha256.update(chunk)
        self._arriving.feed(chunk)

    def _check_length(self, stream: ByteStream) -> None:
        if stream.size is not None and self._length != stream.size:
            arrived = self._length
            if arrived > stream.size:
                self._forget()
            raise DownloadError(f"{arrived} of {stream.size} bytes arrived", retryable=True)

    def _whole(self) -> Downloaded:
        info = self._arriving.finish()
        if self._record.size and self._record.size != self._length:
            # The gzip CRC and Content-Length agree with what arrived: the listed size is what is wrong.
            log.info("image %s: %d bytes, listed as %d", self._record.id, self._length, self._record.size)
        data, self._chunks = b"".join(self._chunks), []
        _check_sum(data, self._checksum)
        sha256, is_packed = self._sha256.hexdigest(), self._arriving.is_packed
        raw = self._arriving.raw() if is_packed else data
        return Downloaded(data, sha256, is_packed, raw, info)


def _check_sum(data: bytes, stated: str | None) -> None:
    """Raise IntegrityError if bytes have another checksum than their source states."""
    algorithm, _, digits = (stated or "").partition(":")
    if not digits or algorithm not in _CHECKSUMS:
        return
    found = hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()
    if found != digits.lower():
        raise IntegrityError(f"its {algorithm} is {found}, the source states {digits:.128}")
