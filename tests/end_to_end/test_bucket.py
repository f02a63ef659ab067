"""Every call with ``data_dir="s3://…"``: same layout, few requests, whole objects, and no secret anywhere."""

import logging
import pickle
import traceback

import nibabel
import pytest
import xarray as xr

import nvframe
from nvframe import neurovault
from nvframe.errors import OfflineWarning, StorageError
from nvframe.storage.remote import FsspecStorage

pytestmark = pytest.mark.usefixtures("server")


def keys(bucket, name):
    return sorted(each["Key"] for each in bucket.list_objects_v2(Bucket=name).get("Contents", ()))


def methods(requests):
    return {
        method: sum(each.startswith(method) for each in requests)
        for method in ("PUT", "HEAD", "GET", "DELETE")
    }


def test_the_compatible_calls_store_in_a_bucket(make_bucket, server, tmp_path):
    bucket = make_bucket("lab")
    asked = {"max_images": 3, "resample": True, "fetch_neurosynth_words": True}
    with nvframe.set_options(storage_options={"profile": "lab"}):
        there = nvframe.fetch_neurovault(data_dir="s3://lab/maps", **asked)
        by_ids = nvframe.fetch_neurovault_ids(image_ids=[1007], data_dir="s3://lab/maps")
        server.clear()
        again = neurovault.fetch_neurovault(data_dir="s3://lab/maps", mode="offline", **asked)
    assert (again.images, server.requests) == (there.images, [])
    root = tmp_path / "here"
    here = nvframe.fetch_neurovault(data_dir=root, **asked)
    assert there.images == [
        f"s3://lab/maps/neurovault/collection_1/image_{i}_resampled.nii.gz" for i in (1001, 1002, 1003)
    ]
    assert by_ids.images == ["s3://lab/maps/neurovault/collection_2/image_1007.nii.gz"]
    assert (there.word_frequencies == here.word_frequencies).all()
    on_disk = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    in_bucket = {key.removeprefix("maps/") for key in keys(bucket, "lab")}
    assert on_disk < in_bucket
    assert {key for key in in_bucket - on_disk if "1007" not in key} == {
        "neurovault/collection_2/collection_metadata.json"
    }


def test_an_empty_prefix_is_one_listing(make_bucket, traffic):
    make_bucket("lab")
    storage = FsspecStorage("s3://lab/some/where", profile="lab")
    storage.put("near/a", b"1")
    traffic()
    assert list(storage.list("nea")) == [], "a prefix is a directory, not the beginning of a name"
    assert [each.key for each in storage.list("near")] == ["near/a"]
    assert [each.key for each in storage.list()] == ["near/a"]
    assert list(FsspecStorage("s3://lab/nothing/here", profile="lab").list()) == []
    assert list(FsspecStorage("s3://lab/nothing", profile="lab").list("collection_1")) == []
    assert [each.key for each in FsspecStorage("s3://lab", profile="lab").list()] == ["some/where/near/a"]
    assert [each.partition(" ")[0] for each in traffic()] == ["GET"] * 6


def test_few_requests(make_bucket, traffic):
    make_bucket("lab")
    options = {"data_dir": "s3://lab/maps", "storage_options": {"profile": "lab"}}
    traffic()
    nvframe.fetch(collection_ids=[1, 3], **options)
    first = traffic()
    assert methods(first) == {"PUT": 2 * (1 + 2 * 4), "HEAD": 0, "GET": methods(first)["GET"], "DELETE": 0}
    listings = [each for each in first if each.startswith("GET")]
    assert {part for each in listings for part in ("collection_1", "collection_3") if part in each} == {
        "collection_1",
        "collection_3",
    }
    assert not any("collection_2" in each for each in first), "only what the query touches"

    frame = nvframe.fetch(collection_ids=[1, 3], **options)
    assert len(frame) == 8
    second = traffic()
    assert methods(second)["PUT"] == methods(second)["HEAD"] == 0

    with nvframe.set_options(index="cache"):
        nvframe.fetch(collection_ids=[1, 3], mode="offline", **options)
    third = traffic()
    assert len(third) <= 2 + 2, "the index, by ETag, saves reading the sidecars"


def test_an_image_is_loaded_by_its_url_or_as_a_local_file(make_bucket, tmp_path):
    import fsspec

    make_bucket("lab")
    frame = nvframe.fetch(max_images=2, data_dir="s3://lab/maps", storage_options={"profile": "lab"})
    with fsspec.open(frame.images[0], profile="lab") as file:
        data = file.read()
    (path, _) = frame.local_paths()
    assert path.read_bytes() == data
    assert (frame.load(0).get_fdata() == nibabel.load(path).get_fdata()).all()


def test_a_public_bucket_is_read_and_processed_beside_it(make_bucket, server, traffic):
    make_bucket("lab", public=True)
    nvframe.fetch(max_images=3, data_dir="s3://lab/maps", storage_options={"profile": "lab"})
    traffic()
    server.clear()
    with pytest.warns(OfflineWarning, match="no write access to s3://lab/maps"):
        frame = nvframe.fetch(
            max_images=3,
            data_dir="s3://lab/maps",
            storage_options={"anon": True},
            processors=["resample-3mm"],
        )
    assert (len(frame), frame.failures, server.requests) == (3, [], [])
    assert methods(traffic())["PUT"] == 0
    assert frame.load(0).header.get_zooms() == (3, 3, 3)


def everything_about(frame, dataset):
    """Return all that an object could tell by itself."""
    return "\n".join(
        [
            repr(frame),
            repr(frame.report),
            repr(frame.failures),
            repr(frame.storage),
            repr(dataset),
            str(vars(frame)),
        ]
    )


def test_no_secret_is_told_anywhere(make_bucket, guarded, caplog, capsys):
    make_bucket("lab")
    own = guarded()
    secrets = [own["secret"], own["key"]]
    caplog.set_level(logging.DEBUG, logger="nvframe")
    options = {"data_dir": "s3://lab/maps", "storage_options": own}
    frame = nvframe.fetch(max_images=3, progress=True, **options)
    dataset = frame.to_xarray()
    dataset.stat_map.isel(image=0).load()
    told = everything_about(frame, dataset)
    packed = pickle.dumps(frame) + pickle.dumps(dataset)
    listed = [each["Key"] for each in own_client(own).list_objects_v2(Bucket="lab")["Contents"]]
    stored = b"".join(own_client(own).get_object(Bucket="lab", Key=key)["Body"].read() for key in listed)
    output = "".join(capsys.readouterr())
    logged = "\n".join(r.getMessage() for r in caplog.records if r.name.startswith("nvframe"))
    assert len(frame) == 3
    for secret in secrets:
        assert secret not in told + output + logged
        assert secret.encode() not in packed + stored


def own_client(own):
    import boto3

    return boto3.client(
        "s3", aws_access_key_id=own["key"], aws_secret_access_key=own["secret"], region_name="us-east-1"
    )


def opened(url, storage_options):
    return xr.open_dataset(f"{url}/neurovault", engine="nvframe", storage_options=storage_options)


def fetched(url, storage_options):
    return nvframe.fetch(max_images=1, data_dir=url, storage_options=storage_options)


@pytest.mark.parametrize("call", [fetched, opened])
def test_a_refusal_tells_no_secret(make_bucket, guarded, call):
    make_bucket("lab")
    guarded()
    wrong = {"key": "AKIAIOSFODNN7EXAMPLE", "secret": "wrong-wJalrXUtnFEMI"}
    with pytest.raises(StorageError, match="s3://lab/maps/neurovault") as caught:
        call("s3://lab/maps", wrong)
    assert "wJalrXUtnFEMI" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("missing", ["credentials", "bucket", "endpoint"])
def test_trouble_with_s3_says_what_to_do(make_bucket, monkeypatch, missing):
    make_bucket("lab")
    options = {"profile": "lab"}
    url = "s3://lab/maps"
    if missing == "credentials":
        options = {}
        advice = "credentials"
    elif missing == "bucket":
        url, advice = "s3://no-such-bucket/maps", "no-such-bucket"
    else:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        advice = "127.0.0.1:9"
    with pytest.raises(StorageError, match=advice):
        nvframe.fetch(max_images=1, data_dir=url, storage_options=options, on_error="raise")
