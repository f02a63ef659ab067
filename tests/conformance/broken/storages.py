"""Storages, each with one fault; `fault` names the check that must find it."""

import io
import threading
from pathlib import Path

import pytest

from nvframe.storage.keys import checked_key
from nvframe.storage.local import LocalStorage
from nvframe.testing import StorageConformance
from nvframe.types import Entry


class Kit(StorageConformance):
    broken = LocalStorage

    @pytest.fixture
    def storage(self, tmp_path):
        return self.broken(str(tmp_path / "storage"))


class Slashed(LocalStorage):
    def __init__(self, url):
        super().__init__(url)
        self.url += "/"


class BrokenUrl(Kit):
    fault = "attributes_are_there"
    broken = Slashed


class Emptyless(LocalStorage):
    def read(self, key):
        data = super().read(key)
        if not data:
            raise FileNotFoundError(key)
        return data


class BrokenReading(Kit):
    fault = "reads_what_is_stored"
    also = ("pickles", "put_takes_bytes_and_files")
    broken = Emptyless


class Directories(LocalStorage):
    def list(self, prefix=""):
        found = list(super().list(prefix))
        return found if len(found) != 3 else [Entry("collection_1", 0), *found]


class BrokenListing(Kit):
    fault = "lists_what_is_stored"
    broken = Directories


class Loose(LocalStorage):
    def list(self, prefix=""):
        if prefix:
            checked_key(prefix)
        return (entry for entry in super().list() if entry.key.startswith(prefix))


class BrokenPrefix(Kit):
    fault = "prefix_is_a_directory"
    broken = Loose


class Shuffled(LocalStorage):
    turn = 0

    def list(self, prefix=""):
        self.turn += 1
        return list(super().list(prefix))[:: 1 if self.turn % 2 else -1]


class BrokenOrder(Kit):
    fault = "listing_is_stable"
    broken = Shuffled


class Forward(io.BytesIO):
    def seek(self, *where):
        return self.tell()


class Pipes(LocalStorage):
    def open(self, key):
        return Forward(self.read(key))


class BrokenSeeking(Kit):
    fault = "open_can_seek"
    broken = Pipes


class Generous(LocalStorage):
    def open(self, key):
        try:
            return super().open(key)
        except FileNotFoundError:
            return io.BytesIO()


class BrokenMissing(Kit):
    fault = "missing_key_is_not_found"
    broken = Generous


class Rootless(LocalStorage):
    def local_path(self, key):
        return self.root / key


class BrokenRoot(Kit):
    fault = "key_cannot_leave_the_root"
    broken = Rootless


class Elsewhere(LocalStorage):
    def local_path(self, key):
        return self.root / "elsewhere" / checked_key(key)


class BrokenPath(Kit):
    fault = "local_path_is_the_file"
    broken = Elsewhere


class Locked(LocalStorage):
    def __init__(self, url):
        super().__init__(url)
        self.lock = threading.Lock()


class BrokenPickling(Kit):
    fault = "pickles"
    also = ("others_see_what_is_put", "put_is_all_or_nothing")
    broken = Locked


class Talkative(LocalStorage):
    def __repr__(self):
        return f"<storage {self.url} password=hunter2>"


class BrokenSecrets(Kit):
    fault = "secrets_stay_secret"
    secrets = ("hunter2",)
    broken = Talkative


class Pretending(LocalStorage):
    writable = False


class BrokenReadOnly(Kit):
    fault = "read_only_refuses_to_write"
    writable = False
    broken = Pretending

    @pytest.fixture
    def contents(self, storage):
        storage.put("collection_1/a.json", b"0123456789")
        return {"collection_1/a.json": b"0123456789"}


class Moving(LocalStorage):
    def put(self, key, data):
        super().put(key, data)
        if isinstance(data, Path):
            data.unlink()


class BrokenPut(Kit):
    fault = "put_takes_bytes_and_files"
    broken = Moving


class Undying(LocalStorage):
    def delete(self, key):
        checked_key(key)


class BrokenDelete(Kit):
    fault = "delete_removes"
    broken = Undying


class Remembering(LocalStorage):
    empty = False

    def list(self, prefix=""):
        found = [] if self.empty and not prefix else list(super().list(prefix))
        self.empty = self.empty or not (prefix or found)
        return found


class BrokenFreshness(Kit):
    fault = "others_see_what_is_put"
    broken = Remembering


class Versionless(LocalStorage):
    def list(self, prefix=""):
        return [entry._replace(version="1") for entry in super().list(prefix)]


class BrokenVersion(Kit):
    fault = "version_tells_a_change"
    broken = Versionless


class Piecemeal(LocalStorage):
    def put(self, key, data):
        body = data if isinstance(data, bytes) else data.read_bytes()
        path = self.local_path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(body[: len(body) // 2])
            file.flush()
            threading.Event().wait(0.1)
            file.write(body[len(body) // 2 :])


class BrokenAtomicity(Kit):
    fault = "put_is_all_or_nothing"
    broken = Piecemeal


class Hasty(LocalStorage):
    def put(self, key, data):
        if isinstance(data, Path) and not data.exists():
            self.delete(key)
        super().put(key, data)


class BrokenFailure(Kit):
    fault = "failed_put_changes_nothing"
    broken = Hasty


class Stateful(LocalStorage):
    def put(self, key, data):
        self.key = checked_key(key)
        threading.Event().wait(0.1)
        super().put(self.key, data)


class BrokenThreads(Kit):
    fault = "threads_may_share_it"
    broken = Stateful
