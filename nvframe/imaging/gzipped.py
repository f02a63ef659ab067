"""gzip through isal (igzip), with every checksum looked at and an end to how far it inflates."""

from __future__ import annotations

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
    from isal import isal_zlib

    damaged: Any = isal_zlib.error  # isal declares it as an instance
    head = b""
    while data.startswith(MAGIC) and len(head) < limit:
        member = isal_zlib.decompressobj(wbits=_WBITS)
        try:
            head += member.decompress(data, limit - len(head))
        except damaged as error:
            raise IntegrityError(f"damaged gzip: {error}") from error
        data = member.unused_data
    return head


def inflate_checked(data: bytes, limit: int) -> bytes:
    """Inflate every gzip member, with checksums, up to `limit` bytes in all."""
    from isal import isal_zlib

    damaged: Any = isal_zlib.error  # isal declares it as an instance

    parts: list[bytes] = []
    room, rest = limit, data
    while rest:
        member = isal_zlib.decompressobj(wbits=_WBITS)
        try:
            # one byte more than allowed tells a member that ends at the limit from one that goes on
            part = member.decompress(rest, room + 1)
        except damaged as error:
            raise IntegrityError(f"damaged gzip: {error}") from error
        parts.append(part)
        room -= len(part)
        if room < 0:
            raise IntegrityError("goes on far beyond the data that its header promises")
        if not member.eof:
            raise IntegrityError(f"cut off: the gzip stream ends early, after {limit - room} bytes of image")
        rest = member.unused_data.lstrip(b"\0")  # tape-style padding is harmless
        if rest and not rest.startswith(MAGIC):
            raise IntegrityError(f"{len(rest)} bytes of something else follow the gzip stream")
    return b"".join(parts) if len(parts) > 1 else parts[0]
