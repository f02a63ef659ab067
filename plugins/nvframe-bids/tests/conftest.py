"""A tree of BIDS derivatives, in a directory and in a bucket."""

import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

AFFINE = nib.affines.from_matvec(np.diag([8.0, 8.0, 8.0]), [-80, -110, -60])

DESCRIPTION = {
    "Name": "First-level models",
    "BIDSVersion": "1.10.0",
    "DatasetType": "derivative",
    "GeneratedBy": [{"Name": "fitlins"}],
    "License": "CC0",
    "DatasetDOI": "doi:10.18112/openneuro.ds000114.v1",
}


class Maker:
    """Writes datasets, maps and sidecars below a root."""

    def __init__(self, root):
        self.root = Path(root)

    def dataset(self, path, **fields):
        return self.json(f"{path}/dataset_description.json", {**DESCRIPTION, **fields})

    def json(self, path, value):
        return self.text(path, json.dumps(value))

    def text(self, path, text):
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return target

    def map(self, path, value=1.0):
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        data = np.full((20, 24, 20), value, "float32")
        data[:10] = -value
        nib.Nifti1Image(data, AFFINE).to_filename(target)
        return target


def make_tree(root):
    """Write a study of two pipelines: five maps, and what is none."""
    make = Maker(root)
    make.dataset("", Name="Raw data", DatasetType="raw")
    make.text("sub-01/anat/sub-01_T1w.nii.gz", "raw")
    make.text("sub-01/fmap/sub-01_fieldmap.nii.gz", "raw")
    glm = "derivatives/glm"
    make.dataset(glm)
    make.json(f"{glm}/task-stop_statmap.json", {"TaskName": "stop signal", "EchoTime": 0.03})
    make.json(f"{glm}/sub-01/sub-01_task-stop_statmap.json", {"EchoTime": 0.025})
    make.json(f"{glm}/sub-01/sub-01_task-rest_statmap.json", {"TaskName": "rest"})
    for subject in ("01", "02"):
        for value, stat in enumerate(("t", "z"), start=1):
            name = f"sub-{subject}_task-stop_space-MNI152NLin6Asym_contrast-go_stat-{stat}_statmap"
            make.map(f"{glm}/sub-{subject}/func/{name}.nii.gz", value)
    make.json(
        f"{glm}/sub-02/func/sub-02_task-stop_space-MNI152NLin6Asym_contrast-go_stat-t_statmap.json",
        {"CogAtlasID": "https://www.cognitiveatlas.org/task/id/trm_4c8a834779883", "EchoTime": 0.02},
    )
    make.text(f"{glm}/sub-01/func/sub-01_task-stop_desc-brain_mask.nii.gz", "a mask")
    make.text(f"{glm}/sub-01/func/sub-01_task-stop_desc-preproc_bold.nii.gz", "a series")
    prep = "derivatives/prep"
    make.dataset(prep, Name="Preprocessing")
    make.map(f"{prep}/sub-01/func/sub-01_task-stop_space-MNI152NLin6Asym_boldref.nii", 3)
    return Path(root)


@pytest.fixture
def tree(tmp_path):
    """Write the tree into a directory."""
    return make_tree(tmp_path / "study")


@pytest.fixture
def make(tmp_path):
    """Return a writer of trees."""
    return Maker(tmp_path / "made")


@pytest.fixture
def bucket(monkeypatch, tmp_path):
    """Return a boto3 client of an S3 on loopback that anybody may read."""
    boto3 = pytest.importorskip("boto3", reason="S3 needs nvframe-bids[s3]")
    moto = pytest.importorskip("moto.server", reason="S3 on loopback is moto's")
    s3fs = pytest.importorskip("s3fs", reason="S3 needs nvframe-bids[s3]")
    server = moto.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://{}:{}".format(*server.get_host_and_port()))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    s3fs.S3FileSystem.clear_instance_cache()
    client = boto3.Session("test", "test", region_name="us-east-1").client("s3")
    yield client
    client.close()
    server.stop()
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def tree_in_bucket(bucket, tmp_path):
    """Put the tree into a public bucket and return its URL."""
    root = make_tree(tmp_path / "to-upload")
    bucket.create_bucket(Bucket="open-derivatives", ACL="public-read")
    for path in root.rglob("*"):
        if path.is_file():
            key = f"studies/ds1/{path.relative_to(root)}"
            bucket.put_object(Bucket="open-derivatives", Key=key, Body=path.read_bytes(), ACL="public-read")
    return "s3://open-derivatives/studies/ds1"
