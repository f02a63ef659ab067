"""Two layouts on disk, one catalogue; damage stays where it is."""

import json
import shutil

import fsspec
import orjson
import pytest

from nvframe.errors import PluginLoadError, SourceError
from nvframe.mirror import load, load_corpus, load_dataset
from nvframe.mirror.requirement import mirror_extra
from nvframe.testing import synthetic_corpus

from .conftest import MAP, sidecar, write_json


def image_ids(catalogue):
    return catalogue.page("images", None, 1000, 0)[1]


def test_damaged_sidecars_are_left_out_and_logged(dataset, caplog):
    home = dataset / "collection_20"
    (home / "image_9_metadata.json").write_text('{"id": 9, "na')
    write_json(home / "image_100_metadata.json", ["no", "object"])
    write_json(home / "image_7_metadata.json", sidecar(8, 20))  # another image's
    write_json(home / "image_6_metadata.json", sidecar(6, 21))  # another collection's
    write_json(home / "image_5_metadata.json", sidecar(5, 20))  # no file of it
    (home / "image_4_metadata.json").write_bytes(b"\xff\xfe")
    (home / "image_3_metadata.json").write_text("[" * 100_000)
    write_json(home / "image_2_metadata.json", sidecar(2, 20, huge=10**30))
    for image_id in (7, 6, 4, 3, 2):
        (home / f"image_{image_id}.nii.gz").write_bytes(MAP)
    assert image_ids(load(str(dataset))) == ["2", "10", "11"]
    for image_id in (9, 100, 7, 6, 5, 4, 3):
        assert f"image_{image_id}_metadata.json" in caplog.text


def test_nan_of_nilearn_becomes_null(dataset):
    (dataset / "collection_20" / "image_9_metadata.json").write_text(
        json.dumps(sidecar(9, 20, smoothness_fwhm=float("nan")))
    )
    record = orjson.loads(load(str(dataset)).record("images", "9"))
    assert record["smoothness_fwhm"] is None


@pytest.mark.parametrize("damage", [None, "{", "[]", '{"id": 21}'])
def test_images_of_a_damaged_collection_are_still_served(dataset, damage):
    path = dataset / "collection_20" / "collection_metadata.json"
    path.unlink() if damage is None else path.write_text(damage)
    catalogue = load(str(dataset))
    assert image_ids(catalogue) == ["9", "10", "11", "100"]
    assert orjson.loads(catalogue.record("collections", "20"))["id"] == 20


def test_strange_file_fields_still_give_one_key_each(dataset):
    home = dataset / "collection_20"
    fields = {
        9: "http://neurovault.org/media/../../etc/passwd",
        10: "http://elsewhere.example/x%20y.nii",
        100: None,
        101: "http://neurovault.org/media/images/20/map_102.nii.gz",
        102: "http://neurovault.org/media/images/20/map_102.nii.gz",
    }
    for image_id, file in fields.items():
        write_json(home / f"image_{image_id}_metadata.json", sidecar(image_id, 20, file=file))
        (home / f"image_{image_id}.nii.gz").write_bytes(MAP)
    catalogue = load(str(dataset))
    keys = [orjson.loads(catalogue.record("images", str(i)))["file"].partition("/media/")[2] for i in fields]
    assert len(set(keys)) == len(keys)
    assert not [key for key in keys if ".." in key or "etc" in key.split("/")]
    assert keys[1] == "images/20/x%20y.nii.gz"  # what is stored is compressed
    assert keys[2] == "images/20/image_100.nii.gz"


def test_nothing_there(tmp_path):
    with pytest.raises(SourceError, match="nothing to serve at"):
        load(str(tmp_path))
    with pytest.raises(SourceError, match="nothing to serve at"):
        load(str(tmp_path / "missing"))
    assert image_ids(load_dataset(str(tmp_path))) == image_ids(load_corpus(str(tmp_path))) == []


def test_any_file_system(dataset, serving):
    fs = fsspec.filesystem("memory")
    root = f"/{dataset.parent.name}"
    fs.put(str(dataset), f"{root}/neurovault", recursive=True)
    try:
        client = serving(load(f"memory://{root}/neurovault"))
        assert client.json("/api/images/")["count"] == 4
        answer = client.get("/media/images/20/map_9.nii.gz", headers={"Range": "bytes=1-5"})
        assert (answer.status_code, answer.content) == (206, MAP[1:6])
        etag, modified = answer.headers["ETag"], answer.headers["Last-Modified"]
        for known in ({"If-None-Match": etag}, {"If-Modified-Since": modified}):
            assert client.get("/media/images/20/map_9.nii.gz", headers=known).status_code == 304
        assert client.json("/api/decode/?neurovault=9")["data"]["values"] == {"motor": 0.5}
    finally:
        fs.rm(root, recursive=True)


def test_corpus_folder(tmp_path, caplog):
    corpus = synthetic_corpus(tmp_path, 3, 2, grids=["RAS-8mm"])
    (corpus / "media/images/1/motor_1001.nii.gz").unlink()
    write_json(corpus / "collections/2_images.json", 5)
    page = json.loads((corpus / "collections/3_images.json").read_text())
    page["results"].append({"id": "../x", "collection_id": 3})
    write_json(corpus / "collections/3_images.json", page)
    catalogue = load(str(corpus))
    assert image_ids(catalogue) == ["1001", "1002", "1005", "1006"]
    assert catalogue.page("atlases", "3", 10, 0) == (1, ["1006"])
    lost, atlas = (orjson.loads(catalogue.record("images", i)) for i in ("1001", "1006"))
    assert lost["file_size"] > 0  # what the row says, where there is nothing to look at
    assert "\x00" in atlas["label_description_file"]  # a file that is here gets our address
    assert lost["cognitive_paradigm_cogatlas"] == "finger tapping task"
    assert catalogue.words("1001") is not None
    assert "a row of collections/3_images.json" in caplog.text


def test_catalogue_is_a_snapshot(dataset):
    catalogue = load(str(dataset))
    shutil.rmtree(dataset / "collection_3")
    assert len(image_ids(catalogue)) == 4
    assert len(image_ids(load(str(dataset)))) == 3


def test_missing_extra_says_what_to_install():
    with pytest.raises(PluginLoadError, match=r'pip install "nvframe\[mirror\]"'), mirror_extra():
        import no_such_web_server.at_all  # noqa: F401
