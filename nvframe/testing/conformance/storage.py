"""What a storage must do."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest

from nvframe.contracts import Storage
from nvframe.errors import NvframeError, StorageError
from nvframe.plugins import Plugin, StorageBackendPlugin
from nvframe.testing.conformance.base import Conformance, at_once

BAD_KEYS = (
    "../outside",
    "a/../../outside",
    "/outside",
    "..",
    "",
    ".",
    "a//b",
    "a\\..\\..\\outside",
    "a\0b",
    "C:/x",
)
"""Keys that would leave the root, or name one object twice."""

_LARGE = 1 << 20
_OVERWRITES = 12


class StorageConformance(Conformance):
    """Checks a storage; give a fixture `storage` that returns an empty one, or one that holds `contents`.

    Attributes
    ----------
    writable : bool
        Whether it can be written. For one that cannot, override the fixture `contents` with what it holds.
    secrets : sequence of str
        Passwords and tokens among the fixture's options: they must show nowhere.

    Examples
    --------
    >>> import pytest
    >>> class TestInMemory(StorageConformance):
    ...     @pytest.fixture
    ...     def storage(self, tmp_path):
    ...         return FsspecStorage(f"memory://{tmp_path}")
    """

    kind: ClassVar[type[Plugin]] = StorageBackendPlugin
    takes_any_parameter = True
    writable: ClassVar[bool] = True
    secrets: ClassVar[Sequence[str]] = ()

    @pytest.fixture
    def storage(self, tmp_path: Path) -> Any:
        """Return the storage under test."""
        return self.build()

    @pytest.fixture
    def contents(self, storage: Any) -> Mapping[str, bytes]:
        """Put three objects and return them by key."""
        if not self.writable:
            pytest.skip("override the fixture `contents`: key to the bytes that the storage holds")
        held = {
            "collection_1/image_1.nii.gz": b"0123456789" * 100,
            "collection_1/parts/words.json": b"{}",
            "collection_10/image_10.nii.gz": b"",
        }
        for key, data in held.items():
            storage.put(key, data)
        return held

    @pytest.fixture
    def reopen(self, storage: Any) -> Callable[[], Any]:
        """Return a function that opens the same place as somebody else would, in another process."""
        return lambda: _travelled(storage)

    def test_attributes_are_there(self, storage: Any) -> None:
        """It has all that the contract names, and says whether it can be written."""
        assert isinstance(storage, Storage), (
            f"{type(storage).__name__} lacks a method of nvframe.contracts.Storage"
        )
        assert isinstance(storage.url, str), "`url` must be a str"
        assert not storage.url.endswith("/"), "`url` must not end in a slash: keys are joined to it with one"
        assert storage.writable is self.writable, (
            f"`writable` is {storage.writable!r}, the kit expects {self.writable}"
        )

    def test_reads_what_is_stored(self, storage: Any, contents: Mapping[str, bytes]) -> None:
        """`read` returns the bytes of each object, empty ones too."""
        for key, data in contents.items():
            assert storage.read(key) == data, f"{key!r} does not read as it was stored"

    def test_lists_what_is_stored(self, storage: Any, contents: Mapping[str, bytes]) -> None:
        """`list` yields every object once, its key relative to the root, its size in bytes."""
        listed = list(storage.list())
        assert len({entry.key for entry in listed}) == len(listed), "a key is listed twice"
        sizes = {entry.key: entry.size for entry in listed}
        assert sizes == {key: len(data) for key, data in contents.items()}, (
            f"the listing {sizes} is not what is stored: no directories, no helper files, keys below the root"
        )

    def test_prefix_is_a_directory(self, storage: Any, contents: Mapping[str, bytes]) -> None:
        """`list(prefix)` yields what lies below that directory and not what is called alike."""
        for prefix in {key.rpartition("/")[0].partition("/")[0] for key in contents}:
            listed = {entry.key for entry in storage.list(prefix)}
            assert listed == {key for key in contents if key.startswith(f"{prefix}/")}, (
                f"list({prefix!r}): {listed}"
            )
        assert list(storage.list("nothing-here")) == [], (
            "a prefix where nothing is yields nothing, and no error"
        )

    def test_listing_is_stable(self, storage: Any, contents: Mapping[str, bytes]) -> None:
        """Two listings of the same objects are equal, their order and versions too."""
        assert list(storage.list()) == list(storage.list()), "two listings differ although nothing changed"

    def test_open_can_seek(self, storage: Any, contents: Mapping[str, bytes]) -> None:
        """`open` gives a binary file that reads at any offset: a header is read without the rest."""
        key, data = max(contents.items(), key=lambda item: len(item[1]))
        with storage.open(key) as file:
            for offset, length in ((0, 4), (len(data) // 2, 7), (1, 3), (0, -1)):
                file.seek(offset)
                wanted = data[offset : offset + length] if length >= 0 else data[offset:]
                assert file.read(length) == wanted, f"{length} bytes at {offset} differ from what is stored"

    def test_missing_key_is_not_found(self, storage: Any, contents: Mapping[str, bytes]) -> None:
        """To read or open a key that is not there is a FileNotFoundError; to delete it may pass in silence."""
        for verb in ("read", "open"):
            for key in ("collection_1/nothing.json", "nowhere/nothing.json"):
                try:
                    getattr(storage, verb)(key)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    pytest.fail(f"{verb}({key!r}) raised {type(error).__name__}, not FileNotFoundError")
                pytest.fail(f"{verb}({key!r}) must raise FileNotFoundError")
        if self.writable:
            with suppress(FileNotFoundError):
                storage.delete("collection_1/nothing.json")

    @pytest.mark.parametrize("key", BAD_KEYS, ids=ascii)
    def test_key_cannot_leave_the_root(self, storage: Any, key: str) -> None:
        """A key that points out of the root, or spells another, is refused with a StorageError."""
        calls: dict[str, Callable[[], object]] = {
            "read": lambda: storage.read(key),
            "open": lambda: storage.open(key),
            "delete": lambda: storage.delete(key),
            "put": lambda: storage.put(key, b"outside"),
            "local_path": lambda: storage.local_path(key),
        }
        if key:
            calls["list"] = lambda: list(storage.list(key))
        for verb, call in calls.items():
            try:
                found = call()
            except NvframeError:
                continue
            except Exception as error:
                pytest.fail(
                    f"{verb}({key!r}) raised {type(error).__name__}: refuse bad keys with StorageError"
                )
            if verb == "local_path" and found is None:
                continue
            pytest.fail(f"{verb}({key!r}) must raise StorageError: nvframe.storage.local.checked_key does it")

    def test_local_path_is_the_file(self, storage: Any, contents: Mapping[str, bytes]) -> None:
        """`local_path` is the file itself, or None where there is no file system."""
        for key, data in contents.items():
            path = storage.local_path(key)
            if path is not None:
                assert isinstance(path, Path), f"local_path must give a pathlib.Path or None, not {path!r}"
                assert path.read_bytes() == data, f"the file {path} does not hold {key!r}"

    def test_pickles(self, storage: Any, contents: Mapping[str, bytes]) -> None:
        """It travels to a worker process and opens the same place there."""
        travelled = _travelled(storage)
        assert travelled.url == storage.url, "after pickling its url is another"
        for key, data in contents.items():
            assert travelled.read(key) == data, f"after pickling {key!r} reads differently"

    def test_secrets_stay_secret(self, storage: Any) -> None:
        """Passwords show neither in the url, nor in its text, nor in an error."""
        if not self.secrets:
            pytest.skip("list `secrets` to have this checked")
        said = [storage.url, repr(storage), str(storage)]
        try:
            storage.read("no-such-key")
        except OSError as error:
            said.append(str(error))
        for secret in self.secrets:
            assert not any(secret in text for text in said), "a secret shows in the url, the repr or an error"

    def test_read_only_refuses_to_write(self, storage: Any) -> None:
        """One that cannot be written says so in an error, and changes nothing."""
        if self.writable:
            pytest.skip("writable = True")
        before = list(storage.list())
        with pytest.raises(StorageError):
            storage.put("collection_1/new.json", b"{}")
        assert list(storage.list()) == before, "a refused put changed the listing"

    def test_put_takes_bytes_and_files(self, storage: Any, tmp_path: Path) -> None:
        """`put` stores bytes or a file, replaces what was there, and leaves nothing else behind."""
        self._needs_writing()
        source = tmp_path / "source.bin"
        source.write_bytes(b"from a file")
        for data, wanted in ((b"a first, longer version", None), (source, b"from a file"), (b"", None)):
            storage.put("collection_1/a b-ü.json", data)
            stored = storage.read("collection_1/a b-ü.json")
            assert stored == (data if wanted is None else wanted), "put did not replace what was there"
        assert [entry.key for entry in storage.list()] == ["collection_1/a b-ü.json"], (
            "put left other objects behind"
        )
        assert source.read_bytes() == b"from a file", "put must leave its source file where it is"

    def test_delete_removes(self, storage: Any, contents: Mapping[str, bytes]) -> None:
        """A deleted object is neither listed nor read."""
        self._needs_writing()
        key = next(iter(contents))
        storage.delete(key)
        assert key not in {entry.key for entry in storage.list()}, "a deleted object is still listed"
        with pytest.raises(FileNotFoundError):
            storage.read(key)

    def test_others_see_what_is_put(self, storage: Any, reopen: Callable[[], Any]) -> None:
        """What another process puts is listed and read at once: nothing remembers an old listing."""
        self._needs_writing()
        other = reopen()
        assert list(storage.list()) == [], "the fixture `storage` must return an empty place"
        other.put("collection_1/theirs.json", b"1")
        assert [entry.key for entry in storage.list()] == ["collection_1/theirs.json"], (
            "a new object is not listed"
        )
        other.put("collection_1/theirs.json", b"22")
        assert [entry.size for entry in storage.list()] == [2], (
            "a replaced object is listed with its old size"
        )
        assert storage.read("collection_1/theirs.json") == b"22", "a replaced object is read as it was"

    def test_version_tells_a_change(self, storage: Any) -> None:
        """Where entries have a `version`, other bytes of the same length have another."""
        self._needs_writing()
        versions = []
        for data in (b"one", b"two"):
            storage.put("collection_1/x.json", data)
            versions += [entry.version for entry in storage.list()]
        if versions[0] is None:
            pytest.skip("its entries have no version")
        assert versions[0] != versions[1], (
            "the bytes changed and the version did not: give None rather than that"
        )

    def test_put_is_all_or_nothing(self, storage: Any, reopen: Callable[[], Any]) -> None:
        """Who reads and lists while objects are replaced sees the old bytes or all of the new."""
        self._needs_writing()
        bodies = [b"a" * _LARGE, b"b" * (_LARGE // 2)]
        reader, done = _Reader(reopen(), "collection_1/large.bin", bodies), threading.Event()
        thread = threading.Thread(target=reader.poll, args=(done,))
        thread.start()
        try:
            for n in range(_OVERWRITES):
                storage.put("collection_1/large.bin", bodies[n % 2])
        finally:
            done.set()
            thread.join()
        assert not reader.faults, f"a reader saw {reader.faults[0]}: write aside, then rename"

    def test_failed_put_changes_nothing(self, storage: Any, tmp_path: Path) -> None:
        """A put that fails leaves the old object as it was, and no other."""
        self._needs_writing()
        storage.put("collection_1/kept.json", b"old")
        before = list(storage.list())
        with pytest.raises((OSError, NvframeError)):
            storage.put("collection_1/kept.json", tmp_path / "no-such-file")
        assert storage.read("collection_1/kept.json") == b"old", "a failed put destroyed what was there"
        assert list(storage.list()) == before, "a failed put changed the listing"

    def test_threads_may_share_it(self, storage: Any) -> None:
        """Eight threads put and read through one object at the same time."""
        self._needs_writing()

        def both(n: int) -> bytes:
            storage.put(f"collection_{n}/x.bin", bytes([n]) * 1000)
            return bytes(storage.read(f"collection_{n}/x.bin"))

        read = list(at_once([lambda n=n: both(n) for n in range(8)]))  # type: ignore[misc]
        assert read == [bytes([n]) * 1000 for n in range(8)], (
            "threads that share it read each other's objects"
        )
        assert len(list(storage.list())) == 8, "objects that threads put at the same time were lost"

    def _needs_writing(self) -> None:
        if not self.writable:
            pytest.skip("writable = False")


class _Reader:
    """Reads and lists one key until told to end, and notes whatever is neither the old nor the new."""

    def __init__(self, storage: Any, key: str, bodies: Sequence[bytes]) -> None:
        self._storage, self._key, self._bodies = storage, key, bodies
        self.faults: list[str] = []

    def poll(self, done: threading.Event) -> None:
        seen = False
        while not done.is_set() and not self.faults:
            try:
                data = self._storage.read(self._key)
                sizes = [entry.size for entry in self._storage.list("collection_1")]
            except FileNotFoundError:
                if seen:
                    self.faults.append("nothing where an object had been")
                continue
            except Exception as error:
                self.faults.append(f"{type(error).__name__}: {error}")
                return
            seen = True
            if data not in self._bodies:
                self.faults.append(f"{len(data)} bytes that nobody put")
            elif not sizes or not set(sizes) <= {len(body) for body in self._bodies}:
                self.faults.append(f"a listing with sizes {sizes}")


def _travelled(storage: Any) -> Any:
    try:
        return pickle.loads(pickle.dumps(storage))  # noqa: S301 - what we pickled ourselves
    except Exception as error:
        pytest.fail(
            f"it does not pickle ({error}): hold no open connections or files, or drop them on the way"
        )
