import contextlib
import gzip
import io
import struct
import subprocess
import sys

import nibabel
import numpy as np
import pytest

from nvframe.errors import IntegrityError
from nvframe.imaging import nifti

AFFINE = np.array([[-2.0, 0, 0, 90], [0, 2, 0, -126], [0, 0, 2, -72], [0, 0, 0, 1]])
RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])


def image(dtype="f4", shape=(5, 6, 7), cls=nibabel.Nifti1Image, endianness="<"):
    data = (
        (np.random.default_rng(0).random(shape) * 100).astype(dtype) if dtype != RGB else np.ones(shape, RGB)
    )
    header = cls.header_class(endianness=endianness)
    header.set_data_dtype(dtype)
    return cls(data, AFFINE, header)


@pytest.fixture
def packed():
    return gzip.compress(image().to_bytes(), mtime=0)


@pytest.mark.parametrize("cls", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("endianness", ["<", ">"])
@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", "c8", RGB])
def test_all_types_load_as_with_nibabel(cls, endianness, dtype, tmp_path):
    img = image(dtype, cls=cls, endianness=endianness)
    path = tmp_path / "map.nii.gz"
    path.write_bytes(gzip.compress(img.to_bytes()))
    theirs = nibabel.load(path)
    raw, info = nifti.verify(path.read_bytes())
    ours = nifti.read(path.read_bytes())
    assert raw == img.to_bytes()
    assert type(ours) is type(theirs)
    assert ours.header == theirs.header
    np.testing.assert_array_equal(ours.affine, theirs.affine)
    np.testing.assert_array_equal(np.asarray(ours.dataobj), np.asarray(theirs.dataobj))
    assert info.shape == theirs.shape
    assert info.affine == tuple(map(tuple, theirs.affine.tolist()))
    assert info.dtype == ("rgb24" if dtype == RGB else np.dtype(dtype).newbyteorder("=").name)
    with path.open("rb") as file:
        assert nifti.read_info(file) == info


def test_plain_nii_comes_back_as_it_is():
    raw = image().to_bytes()
    assert nifti.decompress(raw) is raw


def test_many_gzip_members(packed):
    raw = gzip.decompress(packed)
    parts = gzip.compress(raw[:300]) + gzip.compress(raw[300:700]) + gzip.compress(raw[700:])
    assert nifti.decompress(gzip.compress(raw[:600]) + gzip.compress(raw[600:])) == raw
    assert nifti.decompress(parts) == raw


def test_zero_padding_and_a_little_slack_are_harmless(packed):
    raw = gzip.decompress(packed)
    assert nifti.decompress(packed + bytes(512)) == raw
    assert nifti.decompress(gzip.compress(raw + bytes(100))) == raw + bytes(100)


@pytest.mark.parametrize("cut", [20, 100, 400, -9, -1])
def test_truncated_gzip(packed, cut):
    with pytest.raises(IntegrityError, match=r"cut off|damaged"):
        nifti.verify(packed[:cut])


def test_every_flipped_byte_is_noticed_or_harmless(packed):
    raw = gzip.decompress(packed)
    for at in range(0, len(packed), 7):
        bad = bytearray(packed)
        bad[at] ^= 0x55
        with contextlib.suppress(IntegrityError):
            assert nifti.decompress(bytes(bad)) == raw  # a byte of the gzip header that says nothing


def test_fewer_bytes_than_the_header_promises():
    raw = image().to_bytes()
    promised = len(raw)
    with pytest.raises(
        IntegrityError, match=f"cut off: header promises {promised} bytes, {promised - 10} arrived"
    ):
        nifti.verify(gzip.compress(raw[:-10]))
    with pytest.raises(IntegrityError, match="cut off"):
        nifti.verify(raw[:-10])


def test_other_bytes_after_the_stream(packed):
    with pytest.raises(IntegrityError, match="9 bytes of something else follow"):
        (nifti.verify(packed + b"<html>..."),)
    with pytest.raises(IntegrityError, match="promises"):
        nifti.verify(image().to_bytes() + bytes(100_000))


def test_bomb_is_not_inflated():
    bomb = gzip.compress(image().to_bytes() + bytes(200_000_000))
    code = (
        "import resource, sys; from nvframe.imaging import nifti; from nvframe.errors import IntegrityError\n"
        "data = sys.stdin.buffer.read()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: nifti.decompress(data)\n"
        "except IntegrityError as error: assert 'beyond' in str(error), error\n"
        "else: raise SystemExit('no error')\n"
        "grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before\n"
        "assert grown < 20_000, grown"
    )
    subprocess.run([sys.executable, "-c", code], input=bomb, check=True)


def test_header_that_promises_more_than_could_be_packed(packed):
    raw = bytearray(gzip.decompress(packed))
    struct.pack_into("<4h", raw, 40, 3, 30_000, 30_000, 30_000)
    with pytest.raises(IntegrityError, match="cut off: header promises 108000000000352 bytes"):
        nifti.verify(gzip.compress(bytes(raw)))
    with pytest.raises(IntegrityError, match="more than the 100 allowed"):
        nifti.verify(packed, max_bytes=100)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "an empty file"),
        (b"<!DOCTYPE html><html><body>502</body></html>", "an HTML page, not a NIfTI file"),
        (b"\n <HTML>", "an HTML page"),
        (b"<?xml version='1.0'?><Error/>", "an XML document"),
        (b'{"detail": "Not found."}', "a JSON document"),
        (b"PK\x03\x04...", "a ZIP archive"),
        (b"nonsense", "something that starts with b'nonsense'"),
        (b"\x1f\x8b", "cut off"),
    ],
)
def test_rubbish_is_named(data, what):
    with pytest.raises(IntegrityError, match=what):
        nifti.verify(data)
    if data[:2] != b"\x1f\x8b":
        with pytest.raises(IntegrityError, match=what):
            nifti.verify(gzip.compress(data) if data else data)


def test_pair_is_refused():
    pair = nibabel.Nifti1Pair(np.zeros((2, 2, 2), "f4"), np.eye(4))
    streams = {"header": io.BytesIO(), "image": io.BytesIO()}
    pair.to_file_map({k: nibabel.FileHolder(fileobj=v) for k, v in streams.items()})
    with pytest.raises(IntegrityError, match="pair"):
        nifti.verify(streams["header"].getvalue() + bytes(100))


@pytest.mark.parametrize("dims", [(3, 0, 5, 5), (3, 5, -1, 5), (0, 1, 1, 1), (8, 1, 1, 1), (-3, 1, 1, 1)])
def test_impossible_dimensions(dims):
    raw = bytearray(image().to_bytes())
    struct.pack_into("<4h", raw, 40, *dims)
    with pytest.raises(IntegrityError, match="impossible dimensions"):
        nifti.verify(bytes(raw))


@pytest.mark.parametrize(
    ("offset", "fmt", "value"), [(70, "<h", 9), (108, "<f", float("nan")), (108, "<f", -5)]
)
def test_impossible_header(offset, fmt, value):
    raw = bytearray(image().to_bytes())
    struct.pack_into(fmt, raw, offset, value)
    with pytest.raises(IntegrityError, match=r"datatype|vox_offset"):
        nifti.verify(bytes(raw))


@pytest.mark.parametrize("cls", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_encode_is_to_filename_without_time_or_name(cls, tmp_path):
    img = image("i2", cls=cls)
    img.header.set_slope_inter(0.5, 3)
    img.to_filename(tmp_path / "map.nii.gz")
    packed = nifti.encode(img)
    assert gzip.decompress(packed) == gzip.decompress((tmp_path / "map.nii.gz").read_bytes())
    assert packed == nifti.encode(img)
    assert packed[3] == 0, "a gzip flag tells of a name"
    assert packed[4:8] == bytes(4), "a gzip time"


def test_encode_converts_other_classes():
    img = nibabel.Spm99AnalyzeImage(np.ones((3, 4, 5), "f4"), AFFINE)
    assert nifti.read(nifti.encode(img)).shape == (3, 4, 5)


def test_read_info_reads_little_and_survives_a_long_gzip_name():
    raw = image(shape=(40, 40, 40)).to_bytes()
    buffer = io.BytesIO()
    with gzip.GzipFile("n" * 3_000, "wb", fileobj=buffer, mtime=0) as file:
        file.write(raw)
    buffer.seek(0)
    assert nifti.read_info(buffer).shape == (40, 40, 40)
    assert buffer.tell() <= 8_192
    assert nifti.read_info(io.BytesIO(raw[:600])).shape == (40, 40, 40)
    with pytest.raises(IntegrityError):
        nifti.read_info(io.BytesIO(raw[:200]))


def test_images_are_scaled_lazily_and_pickle():
    import pickle

    img = nifti.read(nifti.encode(image("i2")))
    assert not isinstance(img.dataobj, np.ndarray)
    again = pickle.loads(pickle.dumps(img))
    np.testing.assert_array_equal(again.get_fdata(), img.get_fdata())


def test_importing_loads_nothing_heavy():
    code = (
        "import sys, nvframe.imaging.nifti, nvframe.imaging.grids, nvframe.imaging.resample\n"
        "import nvframe.processing.processors, nvframe.processing.plugin\n"
        "heavy = {'numpy', 'nibabel', 'scipy', 'isal', 'zlib_ng'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
