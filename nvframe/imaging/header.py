"""What a NIfTI header says and promises; none of it is believed before it makes sense."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any

from nvframe.errors import IntegrityError

HEAD = 544  # enough for the header of either version: 348 + 4 and 540 + 4 bytes
_SIZES = tuple(struct.pack(f"{order}i", size) for order in "<>" for size in (348, 540))
SLACK = 65_536  # some writers pad the data; more than this is another file
_ITEM_BYTES = {
    2: 1, 4: 2, 8: 4, 16: 4, 32: 8, 64: 8, 128: 3, 256: 1, 512: 2, 768: 4,
    1024: 8, 1280: 8, 1536: 16, 1792: 16, 2048: 32, 2304: 4,
}  # fmt: skip
"""Bytes of one voxel by NIfTI datatype code; nibabel goes by the code too, never by ``bitpix``."""


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What a NIfTI header says.

    Attributes
    ----------
    shape : tuple of int
        Voxels along each axis.
    affine : tuple of tuple of float
        4 × 4, voxel indices to mm, chosen among sform and qform as nibabel does.
    dtype : str
        numpy name of the type on disk.
    """

    shape: tuple[int, ...]
    affine: tuple[tuple[float, ...], ...]
    dtype: str


def check_length(arrived: int, promised: int) -> None:
    """Raise IntegrityError unless about as many raw bytes arrived as were promised."""
    if arrived < promised:
        raise IntegrityError(f"cut off: header promises {promised} bytes, {arrived} arrived")
    if arrived > promised + SLACK:
        raise IntegrityError(f"header promises {promised} bytes, {arrived} arrived")


def version_of(head: bytes) -> int:
    """Return 1 or 2 for a NIfTI header, 0 for anything else."""
    sizes = set(struct.unpack("<i", head[:4]) + struct.unpack(">i", head[:4])) if len(head) >= 4 else set()
    if 348 in sizes and head[344:347] in (b"n+1", b"ni1"):
        return 1
    if 540 in sizes and head[4:7] in (b"n+2", b"ni2"):
        return 2
    return 0


def promised_size(head: bytes, data: bytes, max_bytes: int | None = None) -> int:
    """Return the bytes that the NIfTI header promises, no more than allowed, or raise saying what `data` looks like."""
    version = version_of(head)
    if version == 0:
        if data and (not head or (len(head) < 348 and head[:4] in _SIZES)):
            raise IntegrityError(f"cut off: {len(head)} bytes of NIfTI header arrived")
        raise IntegrityError(f"{_looks_like(head, data)}, not a NIfTI file")
    magic = head[344:348] if version == 1 else head[4:8]
    if magic[1:2] != b"+":
        raise IntegrityError(
            "the header half of a NIfTI pair (.hdr and .img); only single files hold an image"
        )
    if len(head) < (348 if version == 1 else 540):
        raise IntegrityError(f"cut off: {len(head)} bytes of NIfTI header arrived")
    order = "<" if struct.unpack("<i", head[:4])[0] in (348, 540) else ">"
    if version == 1:
        dim = struct.unpack_from(f"{order}8h", head, 40)
        (code,) = struct.unpack_from(f"{order}h", head, 70)
        (offset,) = struct.unpack_from(f"{order}f", head, 108)
    else:
        (code,) = struct.unpack_from(f"{order}h", head, 12)
        dim = struct.unpack_from(f"{order}8q", head, 16)
        (offset,) = struct.unpack_from(f"{order}q", head, 168)
    if not 1 <= dim[0] <= 7 or min(dim[1 : dim[0] + 1]) < 1:
        raise IntegrityError(f"NIfTI header with impossible dimensions {list(dim)}")
    if code not in _ITEM_BYTES:
        raise IntegrityError(f"NIfTI header with unknown datatype code {code}")
    if not math.isfinite(offset) or offset < 0:
        raise IntegrityError(f"NIfTI header with impossible vox_offset {offset}")
    promised: int = int(offset) + math.prod(dim[1 : dim[0] + 1]) * _ITEM_BYTES[code]
    if max_bytes is not None and promised > max_bytes:
        raise IntegrityError(f"header promises {promised} bytes, more than the {max_bytes} allowed")
    return promised


def _looks_like(head: bytes, data: bytes) -> str:
    """Name what arrived instead, for people."""
    start = head.lstrip()[:256].lower()
    if not data:
        return "an empty file"
    if start.startswith((b"<!doctype html", b"<html")) or b"<html" in start:
        return "an HTML page"
    for prefix, name in {
        b"<": "an XML document",
        b"{": "a JSON document",
        b"[": "a JSON document",
        b"pk\x03\x04": "a ZIP archive",
        b"\x89hdf": "an HDF5 file",
        b"%pdf": "a PDF",
    }.items():
        if start.startswith(prefix):
            return name
    return f"something that starts with {head[:16]!r}"


def info_of(head: bytes) -> ImageInfo:
    """Parse a header as ``nibabel.load`` does, repairs included."""
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header
    from nibabel.spatialimages import HeaderDataError

    cls: Any = Nifti2Header if version_of(head) == 2 else Nifti1Header
    try:
        header = cls(head[: cls.sizeof_hdr])
        affine = header.get_best_affine()
        dtype = header.get_data_dtype()
        shape = header.get_data_shape()
    except (HeaderDataError, ValueError) as error:
        raise IntegrityError(f"a NIfTI file that cannot be read: {error}") from error
    # RGB is a structured type without a name of its own
    name = dtype.name if dtype.fields is None else f"rgb{8 * dtype.itemsize}"
    return ImageInfo(
        tuple(int(n) for n in shape), tuple(tuple(float(x) for x in row) for row in affine), name
    )
