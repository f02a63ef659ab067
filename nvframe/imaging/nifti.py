"""NIfTI bytes, fast and distrusted: decode, verify, encode.

nibabel has no hook for another gzip than the standard library's, which takes three times as long: bytes are inflated
first and handed over. What a server sends is believed only after its gzip checksum, its NIfTI header and its length
agree.
"""

from __future__ import annotations

from typing import Any, BinaryIO

from nvframe.errors import IntegrityError
from nvframe.imaging.gzipped import MAGIC, compress, inflate_checked, inflate_head
from nvframe.imaging.header import HEAD, SLACK, ImageInfo, check_length, info_of, promised_size, version_of

__all__ = ["ImageInfo", "compress", "decompress", "encode", "from_bytes", "read", "read_info", "verify"]

_DEFLATE_LIMIT = 1_040  # deflate cannot pack tighter than 1032 : 1


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
        If `data` is not a NIfTI file, is cut off, damaged, or followed by something else.

    Examples
    --------
    >>> import nibabel, numpy
    >>> img = nibabel.Nifti1Image(numpy.zeros((2, 3, 4), "float32"), numpy.eye(4))
    >>> decompress(encode(img)) == img.to_bytes()
    True
    """
    if not data.startswith(MAGIC):
        check_length(len(data), promised_size(data[:HEAD], data, max_bytes))
        return data
    promised = promised_size(inflate_head(data[:8_192], HEAD), data, max_bytes)
    if promised > _DEFLATE_LIMIT * len(data):
        raise IntegrityError(
            f"cut off: header promises {promised} bytes, {len(data)} compressed bytes arrived"
        )
    raw = inflate_checked(data, promised + SLACK)
    check_length(len(raw), promised)
    return raw


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
    return raw, info_of(raw[:HEAD])


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
        head = inflate_head(first, HEAD)
        # a gzip header may carry a long file name or comment: go on until the NIfTI header is out
        more = _read(fileobj, 1_024) if len(head) < HEAD and len(first) < SLACK else b""
        if not more:
            break
        first += more
    promised_size(head[:HEAD], first)
    return info_of(head[:HEAD])


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

    cls = nibabel.Nifti2Image if version_of(raw[:HEAD]) == 2 else nibabel.Nifti1Image
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
