"""nilearn and nvframe side by side, against one server."""

import json
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

import nvframe
from nvframe import neurovault
from nvframe.http.retry import Retry
from nvframe.mirror.loaders import load_corpus
from nvframe.testing import NeuroVaultServer
from nvframe.testing.corpus.synthetic import synthetic_corpus


@dataclass
class Pair:
    """What both sides returned, and what each asked the server."""

    peer: Any
    ours: Any
    peer_requests: list
    our_requests: list
    peer_dir: Any
    our_dir: Any


@dataclass
class Side:
    """One library with a data directory of its own, and what its last call asked and warned of."""

    module: Any
    server: NeuroVaultServer
    directory: Any
    requests: list = field(default_factory=list)
    warnings: list = field(default_factory=list)

    def call(self, name, *args, **kwargs):
        before = len(self.server.requests)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                return getattr(self.module, name)(
                    *args, **{"data_dir": self.directory, "verbose": 0} | kwargs
                )
            finally:
                self.requests = self.server.requests[before:]
                # deprecations of other libraries are none of the two's words
                self.warnings = [each for each in caught if issubclass(each.category, UserWarning)]

    def fetch(self, **kwargs):
        return self.call("fetch_neurovault", **kwargs)

    def fetch_ids(self, **kwargs):
        return self.call("fetch_neurovault_ids", **kwargs)

    def paths(self, beginning):
        """Return the paths of the last call's requests that begin so."""
        return [request.path for request in self.requests if request.path.startswith(beginning)]

    @property
    def media(self):
        """Names of the files that the last call asked for."""
        return [path.rpartition("/")[2] for path in self.paths("/media/")]

    @property
    def listings(self):
        """The lists of images that the last call asked for."""
        return [path for path in self.paths("/api/") if path.endswith("/images/")]

    @property
    def said(self):
        """Everything that the last call warned of."""
        return " | ".join(str(each.message) for each in self.warnings)

    @property
    def root(self):
        return self.directory / "neurovault"

    def files(self, pattern="*"):
        """Return what is stored, relative to the dataset's directory."""
        return sorted(str(p.relative_to(self.root)) for p in self.root.rglob(pattern) if p.is_file())


class EditedCatalogue:
    """A catalogue whose records and files are other than stored.

    ``edit(kind, row)`` changes a row; ``media`` has files by key, which may be swapped while the server runs.
    """

    def __init__(self, stored, edit, media):
        self._stored, self._edit, self._media = stored, edit, media

    def page(self, kind, collection_id, limit, offset):
        return self._stored.page(kind, collection_id, limit, offset)

    def record(self, kind, record_id):
        record = self._stored.record(kind, record_id)
        if record is None or self._edit is None:
            return record
        row = orjson.loads(record)
        self._edit(kind, row)
        return json.dumps(row).encode()  # unlike orjson's, it writes NaN, as some servers do

    def media(self, key):
        return self._media.get(key) or self._stored.media(key)

    def words(self, image_id):
        return self._stored.words(image_id)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """Three collections of four coarse maps: 1001-1004, 1005-1008, 1009-1012; the last of each is special."""
    return synthetic_corpus(tmp_path_factory.mktemp("compat-corpus"), grids=("RAS-8mm",))


@pytest.fixture(scope="module")
def module_server(corpus):
    with NeuroVaultServer.from_corpus(corpus) as server:
        yield server


@pytest.fixture
def server(module_server):
    """Serve the corpus as it is."""
    module_server.clear()
    yield module_server
    module_server.clear()


@pytest.fixture
def catalogue(corpus):
    """Return a catalogue of the corpus that a test may add to."""
    return load_corpus(str(corpus))


@pytest.fixture
def serve(catalogue):
    """Return a function that serves the catalogue with rows edited and files exchanged."""
    servers = []

    def serve(edit=None, media=None):
        servers.append(NeuroVaultServer(EditedCatalogue(catalogue, edit, {} if media is None else media)))
        return servers[-1].start()

    yield serve
    for server in servers:
        server.stop()


@pytest.fixture
def sides(peer, monkeypatch, tmp_path):
    """Return a function that points nilearn and nvframe at a server; quick retries on our side."""

    def sides(server):
        theirs = peer(server)
        # its log looks through the whole stack for each line, also for those it does not print: seconds per test
        monkeypatch.setattr(theirs.logger, "log", lambda *args, **kwargs: None)
        for variable, value in server.environ.items():
            monkeypatch.setenv(variable, value)
        return Side(theirs, server, tmp_path / "peer"), Side(neurovault, server, tmp_path / "ours")

    with nvframe.set_options(retry=Retry(tries=2, backoff=0.001)):
        yield sides


@pytest.fixture
def defect_of_nilearn():
    """Return a context manager for what nilearn does wrong: it says so when nilearn no longer does."""

    @contextmanager
    def defect_of_nilearn(what):
        try:
            yield
        except (AssertionError, pytest.fail.Exception) as error:
            message = f"nilearn no longer {what}: move this line to part A ({error})"
        else:
            return
        pytest.fail(message)

    return defect_of_nilearn


@pytest.fixture
def both(peer, monkeypatch, tmp_path):
    """Return a function that runs one call on both sides, each into a directory of its own."""

    def run(server, name="fetch_neurovault", **kwargs):
        theirs = peer(server)
        for variable, value in server.environ.items():
            monkeypatch.setenv(variable, value)
        dirs = tmp_path / "peer", tmp_path / "ours"
        results, logs = [], []
        for module, directory in zip((theirs, neurovault), dirs, strict=True):
            server.clear()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                results.append(getattr(module, name)(data_dir=directory, verbose=0, **kwargs))
            logs.append(list(server.requests))
        return Pair(*results, *logs, *dirs)

    return run
