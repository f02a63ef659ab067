"""One image's bytes, whole and verified: resumed where the server can, retried where it helps."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nvframe.errors import DownloadError, IntegrityError
from nvframe.http import Retry
from nvframe.imaging import nifti
from nvframe.types import ByteStream, ImageRecord

if TYPE_CHECKING:
    from nvframe.contracts import MetadataSource

log = logging.getLogger(__name__)

_NO_SUCH_RANGE = 416

MAX_RAW_BYTES = 2 << 30
"""Largest uncompressed image: more than any map needs, and what one worker may hold in memory."""

_HEAD = 8_192
_SLACK = 1 << 20  # gzip may grow what cannot be compressed, by far less than this and a thousandth

# Of a fixed length, and there in every Python.
_CHECKSUMS = hashlib.algorithms_guaranteed - {"shake_128", "shake_256"}

INTEGRITY_TRIES = 2
"""Downloads of a file that arrives complete but is no image: once more, in case a proxy answered."""


class Download:
    """Collects an image's bytes over as many attempts as it takes.

    Parameters
    ----------
    source : MetadataSource
        Opens the image.
    record : ImageRecord
        Which image.

    Attributes
    ----------
    received : int
        Bytes that came over the network in all attempts.
    """

    def __init__(self, source: MetadataSource, record: ImageRecord) -> None:
        self._source = source
        self._record = record
        self._body = bytearray()
        self._validator: str | None = None
        self._most: int | None = None
        self._checksum: str | None = None
        self.received = 0

    def run(self, retry: Retry) -> tuple[bytes, bytes, nifti.ImageInfo]:
        """Return (bytes as served, raw NIfTI bytes, header facts).

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
                return self._verified()
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
                self._body += chunk
                self.received += len(chunk)
                self._check_so_far()
            self._check_length(stream)

    @contextmanager
    def _opened(self) -> Iterator[ByteStream]:
        try:
            with self._source.open_image(self._record, len(self._body), self._validator) as stream:
                yield stream
        except DownloadError as error:
            if error.status != _NO_SUCH_RANGE or not self._body:
                raise
            self._forget()
            raise DownloadError(str(error), retryable=True, status=error.status) from error

    def _check_resumed(self, stream: ByteStream) -> None:
        """Raise unless what comes is the rest of the same file: a server may disregard ``If-Range``."""
        elsewhere = stream.start != len(self._body)
        changed = stream.start > 0 and stream.validator not in (None, self._validator)
        if elsewhere or changed:
            self._forget()
            what = "resumed at another place than asked" if elsewhere else "resumed with another file"
            raise DownloadError(f"the server {what}", retryable=True)

    def _check_so_far(self) -> None:
        """End a body that is no image, or goes on beyond what its header promises, before it fills the memory."""
        if self._most is None and len(self._body) >= _HEAD:
            promised = nifti.promised_size(bytes(self._body[:_HEAD]))
            if promised > MAX_RAW_BYTES:
                raise IntegrityError(
                    f"header promises {promised} bytes, more than the {MAX_RAW_BYTES} allowed"
                )
            self._most = promised + promised // 1000 + _SLACK
        if self._most is not None and len(self._body) > self._most:
            raise IntegrityError(f"goes on beyond the {self._most} bytes that its header allows for")

    def _check_length(self, stream: ByteStream) -> None:
        if stream.size is not None and len(self._body) != stream.size:
            arrived = len(self._body)
            if arrived > stream.size:
                self._forget()
            raise DownloadError(f"{arrived} of {stream.size} bytes arrived", retryable=True)

    def _verified(self) -> tuple[bytes, bytes, nifti.ImageInfo]:
        data = bytes(self._body)
        self._forget()  # one copy in memory is enough
        _check_sum(data, self._checksum)
        raw, info = nifti.verify(data, MAX_RAW_BYTES)
        if self._record.size and self._record.size != len(data):
            # The gzip CRC and Content-Length agree with what arrived: the listed size is what is wrong.
            log.info("image %s: %d bytes, listed as %d", self._record.id, len(data), self._record.size)
        return data, raw, info

    def _forget(self) -> None:
        self._body.clear()
        self._validator = None
        self._most = None


def _check_sum(data: bytes, stated: str | None) -> None:
    """Raise IntegrityError if bytes have another checksum than their source states."""
    algorithm, _, digits = (stated or "").partition(":")
    if not digits or algorithm not in _CHECKSUMS:
        return
    found = hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()
    if found != digits.lower():
        raise IntegrityError(f"its {algorithm} is {found}, the source states {digits:.128}")
