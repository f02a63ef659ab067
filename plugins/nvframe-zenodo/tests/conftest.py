"""An archive on loopback, empty or filled."""

import nibabel as nib
import numpy as np
import pytest

import nvframe
from nvframe.http import Retry
from nvframe.imaging import nifti
from nvframe_zenodo.testing import Archive

TOKEN = "zen-s3cr3t"


def a_map(value=1.0):
    """Return the bytes of a small map."""
    data = np.full((4, 5, 6), value, "float32")
    data[0] = -value
    return nifti.encode(nib.Nifti1Image(data, np.diag([8.0, 8.0, 8.0, 1.0])))


@pytest.fixture
def archive(monkeypatch):
    """Serve an empty archive, with nvframe pointed at it and no pauses between attempts."""
    made = Archive(TOKEN)
    monkeypatch.setenv("NVFRAME_ZENODO_URL", made.url)
    monkeypatch.delenv("ZENODO_TOKEN", raising=False)
    with nvframe.set_options(retry=Retry(tries=3, backoff=0.0)):
        yield made
    made.stop()


@pytest.fixture
def filled(archive):
    """Serve two records with maps, one of them in two versions, among files that are none."""
    archive.add(102, {"Go > Stop.nii.gz": a_map(1)}, concept=101, version="v1")
    archive.add(
        103,
        {
            "Go > Stop.nii.gz": a_map(2),
            "paper.pdf": b"%PDF",
            "all.zip": b"PK",
            "plain.nii": nifti.decompress(a_map(3)),
        },
        concept=101,
        version="v2",
    )
    archive.add(202, {"z.nii.gz": a_map(4)})
    return archive
