"""The page about a lab's bucket: staged once, opened elsewhere, with the bytes that S3 sent counted."""

import json
import os
import re
import shlex
import socket
import socketserver
import subprocess
import sys
import threading
from pathlib import Path

import nibabel as nib
import pytest

from nvframe.imaging import nifti
from nvframe.testing import NeuroVaultServer, synthetic_corpus
from nvframe.testing.corpus.brains import TASKS

PAGE = Path(__file__).parents[2] / "docs/how-to/lab-bucket.md"
TEXT = PAGE.read_text(encoding="utf-8")
THREE_GRIDS = ("RAS-4mm", "SPM-3mm", "RAS-8mm")
FOUR_D, COPY, ORIGINAL = 1038, 1010, 1002


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


class Meter:
    """A relay to S3 on loopback that counts the bytes that S3 sends."""

    def __init__(self, upstream):
        meter, self.received, self._lock = self, 0, threading.Lock()

        class Relay(socketserver.BaseRequestHandler):
            def handle(self):
                with socket.create_connection(upstream) as server:
                    back = threading.Thread(target=meter.pump, args=(server, self.request, True))
                    back.start()
                    meter.pump(self.request, server, False)
                    back.join()

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Relay)
        self.server.daemon_threads = True
        self.url = "http://{}:{}".format(*self.server.server_address)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def pump(self, source, target, counted):
        try:
            while data := source.recv(1 << 16):
                if counted:
                    with self._lock:
                        self.received += len(data)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the other side is gone

    def read(self):
        with self._lock:
            received, self.received = self.received, 0
        return received


@pytest.fixture
def meter(make_bucket, s3_server, monkeypatch):
    host, port = s3_server[0].removeprefix("http://").split(":")
    meter = Meter((host, int(port)))
    monkeypatch.setenv("AWS_ENDPOINT_URL", meter.url)
    yield meter
    meter.server.shutdown()
    meter.server.server_close()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Write 40 maps on three grids: a thresholded one, a mask, a label map, a time series, and a map uploaded twice."""
    root = synthetic_corpus(tmp_path_factory.mktemp("lab"), 5, 8, grids=THREE_GRIDS, words=False)
    path_of(root, COPY).write_bytes(nifti.encode(nifti.read(path_of(root, ORIGINAL).read_bytes())))
    img = nifti.read(path_of(root, FOUR_D).read_bytes())
    path_of(root, FOUR_D).write_bytes(nifti.encode(nib.concat_images([img, img])))
    page = root / "collections/2_images.json"
    listed = json.loads(page.read_text())
    for row in listed["results"]:
        if row["id"] == COPY:
            row |= {"cognitive_paradigm_cogatlas": TASKS[1].paradigm, "description": "uploaded once more"}
    page.write_text(json.dumps(listed))
    return root


def path_of(root, image_id):
    (path,) = root.glob(f"media/images/*/*_{image_id}.nii.gz")
    return path


def run_elsewhere(code):
    """Run a script in a process of its own and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=100,
        env=dict(os.environ),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_staged_by_one_read_by_all(serve, make_bucket, meter, corpus, tmp_path):
    serve(NeuroVaultServer.from_corpus(corpus))
    bucket = make_bucket("lab-bucket")
    (command,) = blocks("sh")
    words = shlex.split(command)
    staged = subprocess.run(
        [sys.executable, "-m", *words], capture_output=True, text=True, timeout=100, env=dict(os.environ)
    )
    assert staged.returncode == 3, staged.stderr
    assert staged.stderr.count("lost: ") == 1
    assert f"image {FOUR_D}" in staged.stderr
    assert "40 images staged" in staged.stdout, "files of all; the array holds 39"
    listed = bucket.list_objects_v2(Bucket="lab-bucket")["Contents"]
    shards = [each["Size"] for each in listed if "/stat_map/c/" in each["Key"]]
    assert len(shards) == 3
    one_map = sum(shards) / 39

    opening, region, learning = blocks("python")
    meter.read()
    run_elsewhere(opening)
    opened = meter.read()
    assert opened < 100_000, "no voxel was read"
    run_elsewhere(opening + region)
    needed = 3 * one_map
    read = meter.read() - opened
    print(f"opening {opened} bytes; three maps of {one_map:.0f} bytes: {read}; the whole {sum(shards)}")
    assert needed / 2 < read < 1.5 * needed

    told = run_elsewhere(opening + learning)
    n_maps, n_collections, accuracy = re.search(
        r"(\d+) maps of (\d+) collections: accuracy ([\d.]+)", told
    ).groups()
    assert (int(n_maps), int(n_collections)) == (36, 5), (
        "40, less a time series, a mask, labels, and one uploaded twice"
    )
    assert float(accuracy) > 0.8
