"""A NIfTI file judged while it arrives: in one pass, each piece while it is still in the processor's cache."""

from __future__ import annotations

from nvframe.errors import IntegrityError
from nvframe.imaging.gzipped import MAGIC, Inflater
from nvframe.imaging.header import HEAD, SLACK, ImageInfo, check_length, info_of, promised_size

_PIECE = 1 << 20


class Arriving:
    """Checks a file as `nvframe.imaging.nifti.verify` does, but as it comes; rubbish is known early.

    Parameters
    ----------
    max_bytes : int
        Refuse a file whose header promises more than this.
    keep : bool, default=False
        Whether the uncompressed bytes of a gzipped file are wanted in the end.

    Examples
    --------
    >>> import nibabel, numpy
    >>> from nvframe.imaging import nifti
    >>> packed = nifti.encode(nibabel.Nifti1Image(numpy.zeros((2, 3, 4), "float32"), numpy.eye(4)))
    >>> arriving = Arriving(1 << 20)
    >>> for chunk in (packed[:50], packed[50:]):
    ...     arriving.feed(chunk)
    >>> arriving.finish().shape
    (2, 3, 4)
    """

    def __init__(self, max_bytes: int, keep: bool = False) -> None:
        self._max_bytes = max_bytes
        self._keep = keep
        self._begun = b""
        self._inflater: Inflater | None = None
        self._head = b""
        self._promised: int | None = None
        self._arrived = 0
        self._parts: list[bytes] = []

    @property
    def is_packed(self) -> bool:
        """Whether it is gzipped."""
        return self._inflater is not None

    def feed(self, data: bytes) -> None:
        """Take what comes next.

        Raises
        ------
        IntegrityError
            As soon as it is sure that this is not an image, or damaged.
        """
        if not self._arrived and not self.is_packed:
            data, self._begun = self._begun + data, b""
            if len(data) < len(MAGIC):
                self._begun = data
                return
            if data.startswith(MAGIC):
                self._inflater = Inflater(_PIECE)
        for piece in self._inflater.feed(data) if self._inflater else (data,):
            self._take(piece)

    def _take(self, piece: bytes) -> None:
        self._arrived += len(piece)
        if self._keep and self.is_packed:
            self._parts.append(piece)
        if self._promised is None:
            self._head += piece[: HEAD - len(self._head)]
            if len(self._head) == HEAD:
                self._expect()
        if self._promised is not None and self._arrived > self._promised + SLACK:
            raise IntegrityError(f"goes on far beyond the {self._promised} bytes that its header promises")

    def _expect(self) -> int:
        seen = self._head or (MAGIC if self.is_packed else b"")
        self._promised = promised_size(self._head, seen, self._max_bytes)
        return self._promised

    def finish(self) -> ImageInfo:
        """Return what the header says, now that nothing more comes.

        Raises
        ------
        IntegrityError
            If it is anything else than one whole image; the message says what it looks like.
        """
        if self._begun:
            self._take(self._begun)
        promised = self._expect() if self._promised is None else self._promised
        if self._inflater is not None:
            self._inflater.finish()
        check_length(self._arrived, promised)
        return info_of(self._head)

    def raw(self) -> bytes:
        """Return what was uncompressed, if it was to be kept."""
        if len(self._parts) > 1:
            self._parts = [b"".join(self._parts)]
        return self._parts[0] if self._parts else b""
