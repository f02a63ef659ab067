"""Storage: what a reader may see, what a key may reach, and what an error may tell."""

import copy
import errno
import os
import pickle
import threading
import uuid
from pathlib import Path
from types import SimpleNamespace

import fsspec
import pytest

from nvframe.contracts import Storage
from nvframe.errors import StorageError
from nvframe.storage import local as module
from nvframe.storage.keys import STAGING, checked_key
from nvframe.storage.local import LocalStorage
from nvframe.storage.overlay import OverlayStorage
from nvframe.storage.remote import FsspecStorage
from nvframe.urls import protocol_of

KINDS = ["local", "memory", "fsspec-file", "overlay"]


@pytest.fixture(params=KINDS)
def storage(request, tmp_path):
    """Each storage we ship, empty."""
    return made(request.param, tmp_path)


def made(kind, tmp_path):
    if kind == "local":
        return LocalStorage(str(tmp_path / "root"))
    if kind == "memory":
        return FsspecStorage(f"memory://{uuid.uuid4().hex}/root")
    if kind == "fsspec-file":
        return FsspecStorage(f"file://{tmp_path}/root")
    return OverlayStorage(LocalStorage(str(tmp_path / "lower")), LocalStorage(str(tmp_path / "upper")))


def keys(storage, prefix=""):
    return [entry.key for entry in storage.list(prefix)]


def test_it_fulfils_the_contract(storage):
    assert isinstance(storage, Storage)


def test_what_is_put_is_read(storage, tmp_path):
    (tmp_path / "file").write_bytes(b"from a file")
    storage.put("collection_1/a", b"bytes")
    storage.put("collection_1/b", tmp_path / "file")
    storage.put("collection_1/empty", b"")
    assert storage.read("collection_1/a") == b"bytes"
    assert storage.read("collection_1/b") == b"from a file"
    assert storage.read("collection_1/empty") == b""
    with storage.open("collection_1/b") as opened:
        opened.seek(5)
        assert opened.read(1) == b"a"


def test_a_listing_names_every_object_once(storage):
    assert keys(storage) == keys(storage, "collection_1") == []
    for key in ("collection_1/b", "collection_1/a/deep", "collection_10/x", "top"):
        storage.put(key, key.encode())
    assert sorted(keys(storage)) == ["collection_1/a/deep", "collection_1/b", "collection_10/x", "top"]
    assert sorted(keys(storage, "collection_1")) == ["collection_1/a/deep", "collection_1/b"]
    assert keys(storage, "collection_2") == []
    assert {entry.key: entry.size for entry in storage.list()}["top"] == 3


def test_a_version_changes_with_the_bytes(storage):
    storage.put("a", b"one")
    (before,) = storage.list()
    storage.put("a", b"two")
    (after,) = storage.list()
    assert before.version is not None
    assert (before.size, before.version) != (after.size, after.version)
    assert list(storage.list()) == [after]


def test_a_missing_key_is_file_not_found(storage):
    storage.put("a", b"")
    for ask in (storage.read, storage.open, storage.delete):
        with pytest.raises(FileNotFoundError):
            ask("collection_1/none")


def test_what_is_deleted_is_gone(storage):
    storage.put("collection_1/a", b"")
    storage.delete("collection_1/a")
    assert keys(storage) == []
    with pytest.raises(FileNotFoundError):
        storage.delete("collection_1/a")


ESCAPES = [
    "",
    ".",
    "..",
    "/etc/passwd",
    "//host/x",
    "../x",
    "a/../../x",
    "a/..",
    "a\\..\\x",
    "C:/x",
    "c:x",
    "a\0b",
    "./a",
    "a//b",
    "a/",
    "a/./b",
]


@pytest.mark.parametrize("key", ESCAPES)
def test_a_key_cannot_leave_the_root_nor_have_two_spellings(storage, key):
    with pytest.raises(StorageError, match="not a valid key"):
        checked_key(key)
    for act in (
        storage.read,
        storage.open,
        storage.delete,
        storage.local_path,
        lambda k: storage.put(k, b""),
    ):
        if act == storage.local_path and isinstance(storage, FsspecStorage):
            continue
        with pytest.raises(StorageError, match="not a valid key"):
            act(key)


def test_it_survives_pickle(storage):
    storage.put("a", b"bytes")
    again = pickle.loads(pickle.dumps(storage))
    assert again.url == storage.url
    assert again.read("a") == b"bytes"


def test_a_reader_sees_the_old_bytes_or_all_of_the_new(storage):
    size = 300_000
    storage.put("a", bytes(size))
    stop, seen, odd = threading.Event(), set(), []

    def poll():
        while not stop.is_set():
            data = storage.read("a")
            seen.add(data[:1])
            if data != data[:1] * size:
                odd.append(len(data))

    readers = [threading.Thread(target=poll) for _ in range(2)]
    for reader in readers:
        reader.start()
    for n in range(60):
        storage.put("a", bytes([n]) * size)
    stop.set()
    for reader in readers:
        reader.join(10)
    assert seen
    assert odd == []


class Killed(BaseException):
    """Like KeyboardInterrupt: nobody catches it."""


# in memory:// there is no half-way: a write is one assignment
@pytest.mark.parametrize("storage", ["local", "fsspec-file", "overlay"], indirect=True)
@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), Killed()], ids=["full", "killed"]
)
def test_a_write_that_breaks_off_leaves_the_old_bytes(storage, monkeypatch, error):
    storage.put("collection_1/a", b"old")

    def half(path, data):
        Path(path).write_bytes(data[: len(data) // 2])
        raise error

    def half_piped(fs, path, value, **kwargs):
        with fs.open(path, "wb") as file:
            file.write(value[: len(value) // 2])
        raise error

    monkeypatch.setattr(module, "_write", half)
    if isinstance(storage, FsspecStorage):
        monkeypatch.setattr(type(storage.fs), "pipe_file", half_piped)
    with pytest.raises((StorageError, Killed)) as caught:
        storage.put("collection_1/a", b"the new bytes")
    monkeypatch.undo()
    if isinstance(caught.value, StorageError):
        assert "No space left" in str(caught.value)
    assert storage.read("collection_1/a") == b"old"
    assert keys(storage) == ["collection_1/a"]
    storage.tidy()
    root = Path(storage.url if isinstance(storage, LocalStorage) else storage.url.removeprefix("file://"))
    assert not list(root.glob(f"{STAGING}*"))


def test_a_rename_that_fails_leaves_nothing_behind(tmp_path):
    storage = LocalStorage(str(tmp_path))
    (tmp_path / "a").mkdir()
    with pytest.raises(StorageError, match=r"cannot write .*a: Is a directory"):
        storage.put("a", b"")
    storage.tidy()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]


def test_writers_of_one_key_do_not_meet(storage):
    bodies = [bytes([n]) * 50_000 for n in range(8)]
    threads = [threading.Thread(target=storage.put, args=("a", body)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert storage.read("a") in bodies
    assert keys(storage) == ["a"]


# Tidying


def test_what_others_are_writing_is_not_tidied_away(tmp_path):
    storage = LocalStorage(str(tmp_path))
    (tmp_path / STAGING).mkdir()
    fresh, left = tmp_path / STAGING / "fresh", tmp_path / STAGING / "left"
    for path in (fresh, left):
        path.write_bytes(b"half")
    os.utime(left, (0, 0))
    storage.tidy()
    assert fresh.exists()
    assert not left.exists()
    assert keys(storage) == []


def test_a_put_survives_another_process_tidying(tmp_path, monkeypatch):
    storage, write = LocalStorage(str(tmp_path)), module._write
    storage.put("before", b"and so there is a directory to tidy")
    tidied = []

    def tidied_first(path, data):
        if not tidied:
            tidied.append(path)
            storage.tidy()
        return write(path, data)

    monkeypatch.setattr(module, "_write", tidied_first)
    storage.put("a", b"bytes")
    assert tidied
    assert storage.read("a") == b"bytes"


def test_tidying_where_nothing_is_does_nothing(storage):
    storage.tidy()
    assert keys(storage) == []


# Local roots


def test_a_root_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="is a file: name a directory"):
        LocalStorage(str(tmp_path / "file"))


def test_a_root_below_a_file_cannot_be_written(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    storage = LocalStorage(str(tmp_path / "file/root"))
    assert not storage.writable
    assert keys(storage) == []
    with pytest.raises(StorageError, match=r"cannot write .*: Not a directory"):
        storage.put("a", b"")


def test_a_root_is_made_by_the_first_put(tmp_path):
    storage = LocalStorage(str(tmp_path / "a/b"))
    assert storage.writable
    assert not (tmp_path / "a").exists()
    storage.put("x", b"")
    assert (tmp_path / "a/b/x").is_file()


def test_write_access_is_asked_of_the_nearest_directory(tmp_path, monkeypatch):
    asked = []

    def refuse(path, mode):
        asked.append((Path(path), mode))
        return False

    monkeypatch.setattr(module.os, "access", refuse)
    assert not LocalStorage(str(tmp_path / "a/b")).writable
    assert asked == [(tmp_path, os.W_OK)]


def test_a_directory_that_cannot_be_listed_is_a_storage_error(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied")

    storage = LocalStorage(str(tmp_path))
    monkeypatch.setattr(module.os, "scandir", refuse)
    with pytest.raises(StorageError, match=f"cannot list {tmp_path}: Permission denied"):
        keys(storage)


def test_a_dangling_link_is_not_listed(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    assert keys(LocalStorage(str(tmp_path))) == []


@pytest.mark.parametrize("scheme", ["", "file://", "local://"])
def test_a_path_may_be_a_url(tmp_path, scheme):
    assert protocol_of(f"{scheme}{tmp_path}") == "local"
    assert LocalStorage(f"{scheme}{tmp_path}").url == str(tmp_path)


def test_home_is_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert LocalStorage("~/maps").url == str(tmp_path / "maps")


# Remote roots


def test_an_unknown_protocol_is_one_error():
    with pytest.raises(StorageError, match="cannot open nosuch://x"):
        FsspecStorage("nosuch://x")


@pytest.mark.parametrize(
    "url",
    ["memory://me:pw0rd@box/root", "memory://me:p@pw0rd@box/root"],
)
def test_credentials_are_not_told(url, monkeypatch):
    storage = FsspecStorage(url)

    def refuse(*args, **kwargs):
        raise PermissionError(f"{url} refused, see {url}")

    for name in ("cat_file", "pipe_file", "open", "rm_file", "find"):
        monkeypatch.setattr(type(storage.fs), name, refuse)
    told = [storage.url, repr(storage), str(storage)]
    asks = (
        storage.read,
        storage.open,
        storage.delete,
        lambda key: storage.put(key, b""),
        lambda key: list(storage.list(key)),
    )
    for ask in asks:
        with pytest.raises(StorageError, match="memory://box/root") as caught:
            ask("a")
        told.append(str(caught.value))
    assert not [text for text in told if "pw0rd" in text]


def test_a_broken_url_does_not_tell_its_credentials():
    with pytest.raises(StorageError) as caught:
        FsspecStorage("nosuch://me:pw0rd@host/x")
    assert "pw0rd" not in str(caught.value)


SECRET = "wJalrXUtnFEMI"


@pytest.mark.parametrize(
    ("options", "stays"),
    [
        ({"key": "AKIA", "secret": SECRET}, "key, secret"),
        ({"token": SECRET, "anon": False}, "token"),
        (
            {"client_kwargs": {"aws_secret_access_key": SECRET, "region_name": "eu-west-1"}},
            "client_kwargs['aws_secret_access_key']",
        ),
        ({"endpoint_url": f"http://me:{SECRET}@127.0.0.1:9"}, "endpoint_url"),
    ],
)
def test_credentials_do_not_travel_and_the_error_says_so(options, stays):
    here = FsspecStorage("s3://bucket/maps", **options)
    packed = pickle.dumps(here)
    assert SECRET.encode() not in packed
    assert copy.deepcopy(here) is here, "within a process it keeps them"
    there = pickle.loads(pickle.dumps(pickle.loads(packed)))  # from worker to worker, too
    there.fs = SimpleNamespace(protocol="s3", pipe_file=denied)
    with pytest.raises(StorageError, match="set credentials in their environment") as caught:
        there.put("a", b"")
    assert f"storage options {stays} do not travel" in str(caught.value)


def denied(*args, **kwargs):
    raise PermissionError("Access Denied")


def test_a_password_in_the_url_does_not_travel():
    packed = pickle.dumps(FsspecStorage(f"memory://me:{SECRET}@host/maps"))
    assert SECRET.encode() not in packed
    assert "the URL's user and password" in str(pickle.loads(packed)._problem("read", "a", OSError("lost")))


def test_what_says_where_and_as_whom_travels():
    options = {"anon": True, "profile": "lab", "endpoint_url": "http://127.0.0.1:9", "requester_pays": True}
    there = pickle.loads(pickle.dumps(FsspecStorage("s3://bucket/maps", **options)))
    assert (there.fs.anon, there.fs.endpoint_url, there.fs.req_kw) == (
        True,
        "http://127.0.0.1:9",
        {"RequestPayer": "requester"},
    )
    assert "do not travel" not in str(there._problem("read", "a", OSError("lost")))


def test_storage_options_reach_the_file_system():
    storage = FsspecStorage("file:///tmp/x", auto_mkdir=True)
    assert storage.fs.auto_mkdir


def test_what_another_process_wrote_is_listed(tmp_path):
    storage = FsspecStorage(f"memory://{tmp_path.name}/shared")
    assert keys(storage) == []
    fsspec.filesystem("memory").pipe_file(f"/{tmp_path.name}/shared/a", b"theirs")
    assert keys(storage) == ["a"]


# Layers


@pytest.fixture
def layers(tmp_path):
    lower, upper = LocalStorage(str(tmp_path / "lower")), LocalStorage(str(tmp_path / "upper"))
    lower.put("a", b"old")
    return lower, upper, OverlayStorage(lower, upper)


def test_the_upper_layer_hides_the_lower(layers):
    lower, upper, both = layers
    assert both.read("a") == b"old"
    assert both.local_path("a") == lower.local_path("a")
    both.put("a", b"newer")
    both.put("b", b"")
    with both.open("a") as opened:
        assert both.read("a") == opened.read() == b"newer"
    assert both.local_path("a") == upper.local_path("a")
    assert {entry.key: entry.size for entry in both.list()} == {"a": 5, "b": 0}
    both.delete("a")
    assert (both.read("a"), lower.read("a")) == (b"old", b"old")


def test_the_lower_layer_is_never_changed(layers):
    lower, _, both = layers
    before = list(lower.list())
    with pytest.raises(FileNotFoundError):
        both.delete("a")
    both.put("a", b"newer")
    assert list(lower.list()) == before
    assert both.url == lower.url
    assert not both.writable
