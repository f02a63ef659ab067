"""A file judged as it comes: the same verdict as for the whole, whatever the pieces."""

import gzip
import itertools

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvframe.errors import IntegrityError
from nvframe.imaging import nifti
from nvframe.imaging import stream_verifier as module
from nvframe.imaging.stream_verifier import Arriving

LIMIT = 1 << 20
RAW = nibabel.Nifti1Image(
    np.random.default_rng(0).normal(size=(7, 8, 9)).astype("f4"), np.diag([2, 2, 2, 1])
).to_bytes()
PACKED = gzip.compress(RAW, mtime=0)
FILES = {
    "gzipped": PACKED,
    "bare": RAW,
    "two members": gzip.compress(RAW[:700]) + gzip.compress(RAW[700:]),
    "two members, padding between": gzip.compress(RAW[:700]) + bytes(9) + gzip.compress(RAW[700:]),
    "padded": PACKED + bytes(512),
    "a web page": b"<!DOCTYPE html><html>Bad gateway</html>",
    "a long web page": b"<html>" + b"x" * 5000,
    "gzipped, no image": gzip.compress(b"{}" * 500),
    "empty": b"",
    "gzip of nothing": gzip.compress(b""),
    "one byte": b"\x1f",
    "followed by rubbish": PACKED + b"rubbish",
    "followed by half a member": PACKED + gzip.compress(RAW)[:30],
    "goes on": gzip.compress(RAW + bytes(100_000)),
    "goes on, bare": RAW + bytes(100_000),
    "wrong checksum": PACKED[:-8] + bytes([PACKED[-8] ^ 1]) + PACKED[-7:],
    "wrong length in the trailer": PACKED[:-1] + bytes([PACKED[-1] ^ 1]),
}


def verdict(data, cuts=(), keep=True):
    """What is said of a file that comes in pieces: the error, or what the header says and the raw bytes."""
    arriving = Arriving(LIMIT, keep)
    try:
        for start, end in itertools.pairwise((0, *sorted(cuts), len(data))):
            arriving.feed(data[start:end])
        return arriving.finish(), arriving.raw() if arriving.is_packed else data
    except IntegrityError:
        return "no image"


def verdict_on_the_whole(data):
    try:
        raw, info = nifti.verify(data, LIMIT)
    except IntegrityError:
        return "no image"
    return info, raw


@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
def test_the_verdict_is_that_on_the_whole(data):
    assert verdict(data) == verdict_on_the_whole(data)
    assert verdict(data, range(1, len(data))) == verdict_on_the_whole(data), "byte by byte"


@given(data=st.data())
def test_the_verdict_does_not_depend_on_the_pieces(data):
    file = data.draw(st.sampled_from(list(FILES.values())))
    cuts = data.draw(st.lists(st.integers(0, len(file)), max_size=5))
    assert verdict(file, cuts) == verdict_on_the_whole(file)


@given(where=st.integers(0, len(PACKED) - 1), bit=st.integers(0, 7), cut=st.integers(0, len(PACKED)))
def test_no_damage_passes_that_the_whole_would_not_pass(where, bit, cut):
    damaged = bytearray(PACKED)
    damaged[where] ^= 1 << bit
    assert verdict(bytes(damaged), [cut]) == verdict_on_the_whole(bytes(damaged))
    assert verdict(bytes(damaged[:cut])) == verdict_on_the_whole(bytes(damaged[:cut]))


def test_rubbish_is_known_before_it_ends():
    arriving = Arriving(LIMIT)
    with pytest.raises(IntegrityError, match="an HTML page, not a NIfTI file"):
        arriving.feed(b"<html>" + b" " * 1000)


def test_what_promises_too_much_is_not_inflated(monkeypatch):
    monkeypatch.setattr(module, "_PIECE", 1000)
    arriving = Arriving(max_bytes=1000)
    with pytest.raises(IntegrityError, match="more than the 1000 allowed"):
        arriving.feed(PACKED)
    assert arriving._arrived == 1000


def test_nothing_is_kept_unasked():
    arriving = Arriving(LIMIT)
    arriving.feed(PACKED)
    arriving.finish()
    assert arriving.raw() == b""
