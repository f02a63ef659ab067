"""gzip with every checksum looked at and an end to how far it inflates.

zlib-ng inflates and igzip (isal) deflates: of the libraries that let other threads run meanwhile and take a file as it
arrives, each was the fastest at its half on maps of NeuroVault (``benchmarks/README.md``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nvframe.errors import IntegrityError

MAGIC = b"\x1f\x8b"
"""First bytes of every gzip file."""

_WBITS = 31  # zlib's way to say "gzip header and trailer, and check them"
_LEVEL = 2  # measured: level 3 is slower and no smaller, level 0 a quarter larger


def compress(raw: bytes) -> bytes:
    """Return `raw` gzipped, without time or name.

    Examples
    --------
    >>> compress(b"brain") == compress(b"brain")
    True
    """
    from isal import igzip_lib

    packed: bytes = igzip_lib.compress(raw, _LEVEL, igzip_lib.COMP_GZIP)
    return packed


def inflate_head(data: bytes, limit: int) -> bytes:
    """Inflate the first `limit` bytes, over as many gzip members as it takes; nothing is checked yet."""
    from zlib_ng import zlib_ng

    damaged: Any = zlib_ng.error  # declared as an instance
    head = b""
    while data.startswith(MAGIC) and len(head) < limit:
        member = zlib_ng.decompressobj(_WBITS)
        try:
            head += member.decompress(data, limit - len(head))
        except damaged as error:
            raise IntegrityError(f"damaged gzip: {error}") from error
        data = member.unused_data
    return head


def inflate_checked(data: bytes, limit: int) -> bytes:
    """Inflate every gzip member, with checksums, up to `limit` bytes in all."""
    inflater = Inflater(limit + 1)  # one byte more tells what ends at the limit from what goes on
    parts: list[bytes] = []
    for part in inflater.feed(data):
        parts.append(part)
        if inflater.made > limit:
            raise IntegrityError("goes on far beyond the data that its header promises")
    inflater.finish()
    return b"".join(parts) if len(parts) != 1 else parts[0]


class Inflater:
    """Inflates gzip as it arrives, member after member, and looks at every checksum.

    Parameters
    ----------
    most : int
        Bytes to make at a time.

    Attributes
    ----------
    made : int
        Bytes made so far.

    Examples
    --------
    >>> inflater = Inflater(1 << 20)
    >>> packed = compress(b"brain")
    >>> list(inflater.feed(packed[:9])) + list(inflater.feed(packed[9:]))
    [b'brain']
    >>> inflater.finish()
    """

    def __init__(self, most: int) -> None:
        self.made = 0
        self._most = most
        self._member: Any = None
        self._between = b""  # what came after the last member, or before the first

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what can be made of `data`, which comes next."""
        from zlib_ng import zlib_ng

        damaged: Any = zlib_ng.error  # declared as an instance
        while True:
            if self._member is None and not (data := self._next_member(data)):
                return
            try:
                part = self._member.decompress(data, self._most)
            except damaged as error:
                raise IntegrityError(f"damaged gzip: {error}") from error
            data = self._member.unconsumed_tail
            if part:
                self.made += len(part)
                yield part
            if self._member.eof:
                data, self._member = self._member.unused_data, None
            elif not data and len(part) < self._most:
                return

    def _next_member(self, data: bytes) -> bytes:
        """Begin a member where `data` has one, and return what belongs to it; nothing where more has to come."""
        from zlib_ng import zlib_ng

        data = self._between + data
        if self.made:
            data = data.lstrip(b"\0")  # tape-style padding is harmless
        self._between = data
        if not data or data == MAGIC[:1]:
            return b""
        if not data.startswith(MAGIC):
            raise IntegrityError(f"{len(data)} bytes of something else follow the gzip stream")
        self._between = b""
        self._member = zlib_ng.decompressobj(_WBITS)
        return data

    def finish(self) -> None:
        """Raise IntegrityError unless the last member came to its end."""
        if self._member is not None or self._between:
            raise IntegrityError(f"cut off: the gzip stream ends early, after {self.made} bytes of image")
