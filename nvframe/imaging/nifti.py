"""NIfTI bytes, fast and distrusted: decode, verify, encode.

isal decodes gzip two to three times and encodes five to fifteen times faster than the standard library;
nibabel has no hook for it, so bytes are inflated first and handed over. What a server sends is believed
only after its gzip checksum, its NIfTI header and its length agree.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

from nvframe.errors import IntegrityError
from nvframe.imaging.gzipped import MAGIC, compress, inflate_checked, inflate_head

__all__ = ["ImageInfo", "compress", "decompress", "encode", "from_bytes", "read", "read_info", "verify"]

_HEAD = 544  # enough for the header of either version: 348 + 4 and 540 + 4 bytes
_SIZES = tuple(struct.pack(f"{order}i", size) for order in "<>" for size in (348, 540))
_SLACK = 65_536  # some writers pad the data; more than this is another file
_DEFLATE_LIMIT = 1_040  # deflate cannot pack tighter than 1032 : 1
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


def decompress(data: bytes, max_bytes: int | None = None) -> bytes:
    """Return the bytes of the NIfTI file inside `data`, gzipped or not.

    Never inflates much beyond what the NIfTI header promises, so that a few hostile kilobytes cannot
    fill the memory.

    Parameters
    ----------
    data : bytes
        A ``.nii`` or ``.nii.gz`` file.
    max_bytes : int or None, default=None
        Refuse a file whose header promises more than this.

    Returns
    -------
    bytes
        The ``.nii`` file; `data` itself if that is not compressed.

    Raises
    ------
    IntegrityError
        If `data` is no NIfTI file, is cut off, damaged, or followed by something else.

    Examples
    --------
    >>> import nibabel, numpy
    >>> img = nibabel.Nifti1Image(numpy.zeros((2, 3, 4), "float32"), numpy.eye(4))
    >>> decompress(encode(img)) == img.to_bytes()
    True
    """
    if not data.startswith(MAGIC):
        promised = _promised_size(data[:_HEAD], data)
        _check_length(len(data), promised, max_bytes)
        return data
    promised = _promised_size(inflate_head(data[:8_192], _HEAD), data)
    if max_bytes is not None and promised > max_bytes:
        raise IntegrityError(f"header promises {promised} bytes, more than the {max_bytes} allowed")
    if promised > _DEFLATE_LIMIT * len(data):
        raise IntegrityError(
            f"cut off: header promises {promised} bytes, {len(data)} compressed bytes arrived"
        )
    raw = inflate_checked(data, promised + _SLACK)
    _check_length(len(raw), promised, max_bytes)
    return raw


def promised_size(head: bytes) -> int:
    """Return how many raw bytes a file promises, from its first 8 kB, so that rubbish is known early.

    Parameters
    ----------
    head : bytes
        The beginning of a ``.nii`` or ``.nii.gz`` file.

    Returns
    -------
    int
        Bytes of the uncompressed file: header, extensions and voxels.

    Raises
    ------
    IntegrityError
        If it is no NIfTI file; the message says what it looks like.

    Examples
    --------
    >>> promised_size(b"<html>" + b" " * 600)
    Traceback (most recent call last):
    ...
    nvframe.errors.IntegrityError: an HTML page, not a NIfTI file
    """
    return _promised_size(inflate_head(head, _HEAD) if head.startswith(MAGIC) else head[:_HEAD], head)


def verify(data: bytes, max_bytes: int | None = None) -> tuple[bytes, ImageInfo]:
    """Check that `data` is one whole NIfTI file and say what it holds.

    Parameters
    ----------
    data : bytes
        What a server sent.
    max_bytes : int or None, default=None
        Refuse a file whose header promises more than this.

    Returns
    -------
    raw : bytes
        The uncompressed ``.nii`` file.
    info : ImageInfo
        From its header.

    Raises
    ------
    IntegrityError
        If it is anything else; the message says what it looks like.

    Examples
    --------
    >>> verify(b"<!DOCTYPE html><html>Bad gateway</html>")
    Traceback (most recent call last):
    ...
    nvframe.errors.IntegrityError: an HTML page, not a NIfTI file
    """
    raw = decompress(data, max_bytes)
    return raw, _info(raw[:_HEAD])


def read_info(fileobj: BinaryIO) -> ImageInfo:
    """Read the header, and no more, of a ``.nii`` or ``.nii.gz`` file.

    Parameters
    ----------
    fileobj : BinaryIO
        Positioned at the start; a few hundred bytes are read.

    Returns
    -------
    ImageInfo
        What the header says; whether the data follow is not looked at.

    Raises
    ------
    IntegrityError
        If it is no NIfTI file.

    Examples
    --------
    >>> import io, nibabel, numpy
    >>> img = nibabel.Nifti1Image(numpy.zeros((2, 3, 4), "float32"), numpy.eye(4))
    >>> read_info(io.BytesIO(encode(img))).shape
    (2, 3, 4)
    """
    first = _read(fileobj, 1_024)
    head = first
    while first.startswith(MAGIC):
        head = inflate_head(first, _HEAD)
        # a gzip header may carry a long file name or comment: go on until the NIfTI header is out
        more = _read(fileobj, 1_024) if len(head) < _HEAD and len(first) < _SLACK else b""
        if not more:
            break
        first += more
    _promised_size(head[:_HEAD], first)
    return _info(head[:_HEAD])


def from_bytes(raw: bytes) -> Any:
    """Build a nibabel image over uncompressed bytes; no temporary file, scaled when read.

    Parameters
    ----------
    raw : bytes
        A ``.nii`` file, as `decompress` returns it.

    Returns
    -------
    nibabel.Nifti1Image or nibabel.Nifti2Image
        Equal to ``nibabel.load`` of the file.

    Raises
    ------
    IntegrityError
        If nibabel refuses the header.

    Examples
    --------
    >>> import nibabel, numpy
    >>> img = nibabel.Nifti1Image(numpy.zeros((2, 3, 4), "float32"), numpy.eye(4))
    >>> from_bytes(img.to_bytes()).shape
    (2, 3, 4)
    """
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    cls = nibabel.Nifti2Image if _version(raw[:_HEAD]) == 2 else nibabel.Nifti1Image
    try:
        return cls.from_bytes(raw)
    except (HeaderDataError, ImageFileError, ValueError) as error:
        raise IntegrityError(f"a NIfTI file that cannot be read: {error}") from error


def read(data: bytes) -> Any:
    """Return the nibabel image in `data`, gzipped or not; see `decompress` and `from_bytes`.

    Examples
    --------
    >>> import nibabel, numpy
    >>> img = nibabel.Nifti1Image(numpy.ones((2, 3, 4), "float32"), numpy.eye(4))
    >>> float(read(encode(img)).get_fdata().sum())
    24.0
    """
    return from_bytes(decompress(data))


def encode(img: Any) -> bytes:
    r"""Return `img` as the bytes of a ``.nii.gz`` file, always the same for the same image.

    Parameters
    ----------
    img : nibabel.spatialimages.SpatialImage
        Another class than NIfTI is converted.

    Returns
    -------
    bytes
        gzip without time or name; inside, what ``img.to_filename`` would write.

    Examples
    --------
    >>> import nibabel, numpy
    >>> img = nibabel.Nifti1Image(numpy.zeros((2, 3, 4), "float32"), numpy.eye(4))
    >>> encode(img)[:8]
    b'\x1f\x8b\x08\x00\x00\x00\x00\x00'
    """
    import nibabel

    if not isinstance(img, nibabel.Nifti1Image | nibabel.Nifti2Image):
        img = nibabel.Nifti1Image.from_image(img)
    return compress(img.to_bytes())


def _read(fileobj: BinaryIO, size: int) -> bytes:
    """Read `size` bytes unless the file ends before; raw streams may give less at a time."""
    parts: list[bytes] = []
    while size > 0 and (part := fileobj.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _check_length(arrived: int, promised: int, max_bytes: int | None) -> None:
    if arrived < promised:
        raise IntegrityError(f"cut off: header promises {promised} bytes, {arrived} arrived")
    if arrived > promised + _SLACK:
        raise IntegrityError(f"header promises {promised} bytes, {arrived} arrived")
    if max_bytes is not None and promised > max_bytes:
        raise IntegrityError(f"header promises {promised} bytes, more than the {max_bytes} allowed")


def _version(head: bytes) -> int:
    """Return 1 or 2 for a NIfTI header, 0 for anything else."""
    sizes = set(struct.unpack("<i", head[:4]) + struct.unpack(">i", head[:4])) if len(head) >= 4 else set()
    if 348 in sizes and head[344:347] in (b"n+1", b"ni1"):
        return 1
    if 540 in sizes and head[4:7] in (b"n+2", b"ni2"):
        return 2
    return 0


def _promised_size(head: bytes, data: bytes) -> int:
    """Return the bytes that the NIfTI header promises, or raise saying what `data` looks like."""
    version = _version(head)
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
    voxels: int = math.prod(dim[1 : dim[0] + 1])
    return int(offset) + voxels * _ITEM_BYTES[code]


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


def _info(head: bytes) -> ImageInfo:
    """Parse a header as ``nibabel.load`` does, repairs included."""
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header
    from nibabel.spatialimages import HeaderDataError

    cls: Any = Nifti2Header if _version(head) == 2 else Nifti1Header
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
