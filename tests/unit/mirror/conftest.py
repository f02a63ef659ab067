import gzip
import json
from pathlib import Path

import pytest
import requests
from starlette.applications import Starlette

from nvframe.mirror import Server, create_app, load_dataset

MAP = gzip.compress(bytes(range(256)) * 40, mtime=0)
RESAMPLED = gzip.compress(b"resampled" * 99, mtime=0)


def write_json(path: Path, document):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def sidecar(image_id, collection_id, **fields):
    host = "http://neurovault.org"
    return {
        "url": f"{host}/images/{image_id}/",
        "id": image_id,
        "file": f"{host}/media/images/{collection_id}/map_{image_id}.nii.gz",
        "collection": f"{host}/collections/{collection_id}/",
        "collection_id": collection_id,
        "file_size": 1,
        "name": f"map {image_id}",
        "image_type": "statistic_map",
        "relative_path": f"collection_{collection_id}/image_{image_id}.nii.gz",
        "resampled_relative_path": f"collection_{collection_id}/image_{image_id}_resampled.nii.gz",
        **fields,
    }


@pytest.fixture
def dataset(tmp_path):
    """A directory as nilearn and nvframe leave it: images 9, 10 and 100 in collection 20, 11 in 3."""
    root = tmp_path / "neurovault"
    home = root / "collection_20"
    write_json(
        home / "collection_metadata.json",
        {
            "id": 20,
            "url": "http://neurovault.org/collections/20/",
            "download_url": "http://neurovault.org/collections/20/download",
            "name": "twenty",
            "relative_path": "collection_20",
        },
    )
    for image_id in (9, 10, 100):
        write_json(home / f"image_{image_id}_metadata.json", sidecar(image_id, 20))
        (home / f"image_{image_id}.nii.gz").write_bytes(MAP)
    write_json(home / "image_10_metadata.json", sidecar(10, 20, nvframe={"schema": 1, "assets": {}}))
    (home / "image_10_resampled.nii.gz").write_bytes(RESAMPLED)
    words = {"data": {"values": {"motor": 0.5}}}
    write_json(home / "neurosynth_words_for_image_9.json", words)
    other = root / "collection_3"
    write_json(other / "collection_metadata.json", {"id": 3, "name": "three"})
    write_json(other / "image_11_metadata.json", sidecar(11, 3, image_type="atlas"))
    (other / "image_11_resampled.nii.gz").write_bytes(RESAMPLED)
    return root


class Client:
    """requests on one connection, never following redirects."""

    def __init__(self, url, session):
        self.url, self._session = url, session

    def get(self, path, **options):
        return self._session.get(self.url + path, timeout=10, allow_redirects=False, **options)

    def json(self, path):
        return self.get(path).json()

    def request(self, method, path, **options):
        return self._session.request(method, self.url + path, timeout=10, allow_redirects=False, **options)


@pytest.fixture
def serving():
    """Return a function that serves an app or a catalogue and gives a client for it."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def start(what, **options):
            app = what if isinstance(what, Starlette) else create_app(what, **options)
            server = stack.enter_context(Server(app))
            return Client(server.url, stack.enter_context(requests.Session()))

        yield start


@pytest.fixture
def client(dataset, serving):
    return serving(load_dataset(str(dataset)))
