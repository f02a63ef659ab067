"""Servers whose maps a script can find something in."""

import json
import logging
import os
from dataclasses import replace

import boto3
import numpy as np
import pytest
import requests
import s3fs
from moto.server import ThreadedMotoServer
from nibabel.nifti1 import Nifti1Image
from zarr.core.sync import sync as zarr_sync

import nvframe
from nvframe.http.retry import Retry
from nvframe.imaging import nifti
from nvframe.testing import NeuroVaultServer, synthetic_corpus
from nvframe.testing.corpus.brains import GRIDS, TASKS, Task, draw
from nvframe.testing.corpus.fields import collection_metadata, decoded_words, image_metadata

INHIBITION = Task(
    "response inhibition",
    "successful stop > go",
    "stop signal task",
    ((46, 18, 8), (-46, 16, 4), (6, 16, 52), (52, -42, 30)),
    ("response inhibition", "stop signal", "inhibition", "stop", "inhibitory", "presma"),
)

# Collection, contrast, type of map, participants: what a search for stop-signal maps meets.
STOP_SIGNAL_MAPS = [
    (101, "successful stop > go", "T map", 24),
    (101, "unsuccessful stop vs. go", "T map", 24),
    (102, "StopSuccess - Go: succ. stop > go", "T map", 31),
    (102, "go > baseline", "T map", 31),
    (103, "succ stop minus go", "T map", 18),
    (103, "succ stop minus go", "Z map", 18),
    (104, "successful stop > correct go", "T map", 40),
    (105, "stop (successful) > go", "T map", 16),
    (106, "successful stopping vs going", "T map", 52),
    (107, "successful stop > go", "T map", 22),
    (108, "successful stop > go", "T map", 27),
]


def _quieten(root):
    """Take most of the noise out of a synthetic corpus, as if each map came from a far larger sample."""
    for path in root.glob("media/images/*/*.nii.gz"):
        image_id = int(path.name.removesuffix(".nii.gz").rpartition("_")[2])
        loud = nifti.read(path.read_bytes())
        # The noise is drawn before the blobs, so a task without foci has the same.
        silence = replace(TASKS[0], foci=())
        noise = draw(silence, GRIDS["RAS-4mm"], "unthresholded", np.random.default_rng([0, image_id]))
        data = loud.get_fdata() - 0.75 * noise.get_fdata()
        path.write_bytes(nifti.encode(Nifti1Image(data.astype("float32"), loud.affine, loud.header)))


def _add_stop_signal_maps(root):
    """Write the maps above into a corpus; about half of them on another grid."""
    rows, words = {}, decoded_words(INHIBITION)
    for image_id, (collection_id, contrast, map_type, subjects) in enumerate(STOP_SIGNAL_MAPS, start=5001):
        box = GRIDS["SPM-3mm" if image_id % 2 else "RAS-4mm"]
        img = draw(INHIBITION, box, "unthresholded", np.random.default_rng(image_id))
        if contrast.startswith("go"):
            img = Nifti1Image(-img.get_fdata(dtype="float32"), img.affine)
        body, name = nifti.encode(img), f"stop_{image_id}"
        media = root / f"media/images/{collection_id}/{name}.nii.gz"
        media.parent.mkdir(parents=True, exist_ok=True)
        media.write_bytes(body)
        row = image_metadata(collection_id, image_id, INHIBITION, "unthresholded", name, len(body), 30.0)
        row |= {
            "contrast_definition": contrast,
            "map_type": map_type,
            "number_of_subjects": subjects,
            "statistic_parameters": None,
        }
        rows.setdefault(collection_id, []).append(row)
        (root / f"words/{image_id}.json").write_text(json.dumps(words))
    for collection_id, images in rows.items():
        described = collection_metadata(collection_id, len(images))
        (root / f"collections/{collection_id}.json").write_text(json.dumps(described))
        listed = {"count": len(images), "next": None, "previous": None, "results": images}
        (root / f"collections/{collection_id}_images.json").write_text(json.dumps(listed))


@pytest.fixture(scope="session")
def literature_corpus(tmp_path_factory):
    """Write 32 maps of eight tasks, and those of eight stop-signal studies."""
    root = tmp_path_factory.mktemp("literature")
    synthetic_corpus(root, 8, 4, grids=("RAS-4mm",), specials=False)
    _quieten(root)
    _add_stop_signal_maps(root)
    return root


@pytest.fixture
def literature(literature_corpus, serve):
    """Serve the literature."""
    return serve(NeuroVaultServer.from_corpus(literature_corpus))


@pytest.fixture(scope="session")
def small_corpus(tmp_path_factory):
    """Write twelve small maps in three collections."""
    return synthetic_corpus(tmp_path_factory.mktemp("small"), 3, 4, grids=("RAS-8mm",), specials=False)


@pytest.fixture
def server(small_corpus, serve):
    """Serve twelve small maps, 1001 to 1012, four to a collection."""
    return serve(NeuroVaultServer.from_corpus(small_corpus))


@pytest.fixture
def serve(monkeypatch):
    """Return a function that starts a server and points nvframe at it; the latest one counts."""
    started = []

    def start(server):
        started.append(server.start())
        for name, value in server.environ.items():
            monkeypatch.setenv(name, value)
        return server

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    """Make an empty directory the place where datasets go if a script does not say where."""
    directory = tmp_path / "data"
    directory.mkdir()
    monkeypatch.setenv("NVFRAME_DATA", str(directory))
    return directory


@pytest.fixture
def no_pause():
    """Try as often as ever, but without the pauses in between."""
    with nvframe.set_options(retry=Retry(backoff=0.0)):
        yield


@pytest.fixture
def downloads():
    """Return a function that tells which maps a server was asked for."""

    def paths(server):
        return [request.path for request in server.requests if request.path.startswith("/media/")]

    return paths


@pytest.fixture
def edited(serve, tmp_path_factory):
    """Return a function that serves a synthetic corpus after edits: to image rows, by id, and to maps."""

    def serve_edited(changes=(), scale=(), **corpus):
        root = synthetic_corpus(
            tmp_path_factory.mktemp("edited"), **{"grids": ("RAS-8mm",), "specials": False, **corpus}
        )
        for page in root.glob("collections/*_images.json"):
            listed = json.loads(page.read_text())
            for row in listed["results"]:
                row |= dict(changes).get(row["id"], {})
            page.write_text(json.dumps(listed))
        for image_id, factor in dict(scale).items():
            (path,) = root.glob(f"media/images/*/*_{image_id}.nii.gz")
            old = nifti.read(path.read_bytes())
            path.write_bytes(nifti.encode(Nifti1Image(old.get_fdata() * factor, old.affine)))
        return serve(NeuroVaultServer.from_corpus(root))

    return serve_edited


@pytest.fixture
def s3_server():
    """Yield (url, key, secret) of moto's server on loopback, or of the server that NVFRAME_TEST_S3 names."""
    url = os.environ.get("NVFRAME_TEST_S3")
    if url:
        yield url, os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
        return
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    yield url, "test", "test"
    # What a server of moto holds outlives it.
    requests.post(f"{url}/moto-api/reset", timeout=10).raise_for_status()
    server.stop()


@pytest.fixture
def make_bucket(s3_server, tmp_path, monkeypatch):
    """Return a function that makes a bucket on loopback, for the profile ``lab``, and returns its boto3 client."""
    url, key, secret = s3_server
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    (tmp_path / "credentials").write_text(
        f"[lab]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n"
    )
    (tmp_path / "config").write_text("[profile lab]\nregion = us-east-1\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    # Who has no credentials is not asked after elsewhere.
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    # s3fs would hand the connections of an earlier test out again, to a server that is gone.
    s3fs.S3FileSystem.clear_instance_cache()
    client = boto3.Session(profile_name="lab").client("s3", endpoint_url=url)
    made = []

    def make(name, public=False):
        client.create_bucket(Bucket=name)
        made.append(name)
        if public:
            read = {"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject", "s3:ListBucket"]}
            where = [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"]
            policy = {"Version": "2012-10-17", "Statement": [read | {"Resource": where}]}
            client.put_bucket_policy(Bucket=name, Policy=json.dumps(policy))
        return client

    yield make
    if os.environ.get("NVFRAME_TEST_S3"):  # this one is not thrown away
        for name in made:
            bucket = boto3.Session(profile_name="lab").resource("s3", endpoint_url=url).Bucket(name)
            bucket.objects.all().delete()
            bucket.delete()
    client.close()
    for fs in s3fs.S3FileSystem._cache.values():
        if fs.asynchronous and fs._s3 is not None:  # zarr's, which s3fs leaves to whoever made it
            zarr_sync(fs._s3.close())
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def guarded(make_bucket, s3_server):
    """Return a function that makes the server ask who is there, and returns one user's key and secret."""
    url, key, secret = s3_server
    if os.environ.get("NVFRAME_TEST_S3"):  # it always asks
        yield lambda: {"key": key, "secret": secret}
        return

    def switch_on():
        iam = boto3.Session(profile_name="lab").client("iam")
        everything = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
        iam.create_user(UserName="lab")
        iam.put_user_policy(UserName="lab", PolicyName="maps", PolicyDocument=document)
        made = iam.create_access_key(UserName="lab")["AccessKey"]
        iam.close()
        requests.post(f"{url}/moto-api/reset-auth", data=b"0", timeout=10).raise_for_status()
        return {"key": made["AccessKeyId"], "secret": made["SecretAccessKey"]}

    yield switch_on
    requests.post(f"{url}/moto-api/reset-auth", data=b"inf", timeout=10).raise_for_status()


@pytest.fixture
def traffic(caplog):
    """Return a function that returns the requests that S3 got since it was last called, as 'METHOD target'."""
    if os.environ.get("NVFRAME_TEST_S3"):
        pytest.skip("requests are counted in the log of moto's server")
    caplog.set_level(logging.INFO, logger="werkzeug")

    def requests():
        lines = [record.getMessage() for record in caplog.records if record.name == "werkzeug"]
        caplog.clear()
        return [
            line.partition('"')[2].replace("\x1b[31m\x1b[1m", "").rpartition(" HTTP/")[0] for line in lines
        ]

    return requests
