"""Files: whole, in part, unchanged, gone; and no way out of the tables."""

import os
from email.utils import formatdate

import pytest

from nvframe.mirror import load, stored

from .conftest import MAP, RESAMPLED

KEY = "/media/images/20/map_9.nii.gz"


@pytest.fixture
def validators(client):
    headers = client.get(KEY).headers
    return headers["ETag"], headers["Last-Modified"]


def test_whole_file(client):
    answer = client.get(KEY)
    assert (answer.status_code, answer.content) == (200, MAP)
    assert answer.headers["Content-Length"] == str(len(MAP))
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert "Content-Encoding" not in answer.headers


def test_head_reads_nothing_but_says_it_all(client):
    answer = client.request("HEAD", KEY, headers={"Range": "bytes=0-9"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Content-Length"] == str(len(MAP))


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-9", slice(0, 10)),
        ("bytes=5-", slice(5, None)),
        ("bytes=-7", slice(-7, None)),
        ("bytes=10-999999", slice(10, None)),
        ("bytes=-999999", slice(0, None)),
        ("BYTES=3-3", slice(3, 4)),
    ],
)
def test_range(client, asked, part):
    answer = client.get(KEY, headers={"Range": asked})
    start, stop, _ = part.indices(len(MAP))
    assert (answer.status_code, answer.content) == (206, MAP[part])
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(MAP)}"
    assert answer.headers["Content-Length"] == str(stop - start)


@pytest.mark.parametrize("asked", ["bytes=999999-", "bytes=-0", "bytes=999999-1000000"])
def test_range_that_does_not_exist(client, asked):
    answer = client.get(KEY, headers={"Range": asked})
    assert (answer.status_code, answer.content) == (416, b"")
    assert answer.headers["Content-Range"] == f"bytes */{len(MAP)}"


@pytest.mark.parametrize(
    "asked", ["bytes=9-3", "bytes=-", "bytes=a-b", "lines=1-2", "bytes=0-1,4-5", "bytes", ""]
)
def test_range_that_makes_no_sense_is_ignored(client, asked):
    answer = client.get(KEY, headers={"Range": asked})
    assert (answer.status_code, answer.content) == (200, MAP)


def test_if_range(client, validators):
    etag, modified = validators
    part = {"Range": "bytes=0-9"}
    for known in (etag, modified):
        assert client.get(KEY, headers=part | {"If-Range": known}).status_code == 206
    for unknown in ('"other"', f"W/{etag}", formatdate(0, usegmt=True), "nonsense"):
        answer = client.get(KEY, headers=part | {"If-Range": unknown})
        assert (answer.status_code, answer.content) == (200, MAP)


def test_not_modified(client, validators):
    etag, modified = validators
    future = formatdate(2e9, usegmt=True)
    for headers in ({"If-None-Match": etag}, {"If-None-Match": f'"a", W/{etag}'}, {"If-None-Match": "*"},
                    {"If-Modified-Since": modified}, {"If-Modified-Since": future}):  # fmt: skip
        answer = client.get(KEY, headers=headers)
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["ETag"] == etag
    for headers in (
        {"If-None-Match": '"other"', "If-Modified-Since": future},
        {"If-Modified-Since": formatdate(0, usegmt=True)},
        {"If-Modified-Since": "nonsense"},
    ):
        assert client.get(KEY, headers=headers).status_code == 200


def test_etag_is_strong_and_changes_with_the_file(dataset, client, validators):
    path = dataset / "collection_20" / "image_9.nii.gz"
    path.write_bytes(MAP[::-1])
    os.utime(path, (1e9, 1e9))
    answer = client.get(KEY, headers={"If-None-Match": validators[0]})
    assert (answer.status_code, answer.content) == (200, MAP[::-1])
    assert answer.headers["ETag"] != validators[0]
    assert not answer.headers["ETag"].startswith("W/")
    assert answer.headers["Last-Modified"] == "Sun, 09 Sep 2001 01:46:40 GMT"


def test_file_that_has_gone_is_404(dataset, client):
    (dataset / "collection_20" / "image_9.nii.gz").unlink()
    assert client.get(KEY).status_code == 404
    assert client.get(KEY, headers={"Range": "bytes=0-9"}).status_code == 404


def test_large_files_are_streamed(dataset, serving, monkeypatch):
    monkeypatch.setattr("nvframe.mirror.media.CHUNK", 1000)
    monkeypatch.setattr(stored, "CHUNK", 1000)
    content = os.urandom(10_500)
    (dataset / "collection_20" / "image_9.nii.gz").write_bytes(content)
    client = serving(load(str(dataset)))
    assert client.get(KEY).content == content
    answer = client.get(KEY, headers={"Range": "bytes=999-9000"})
    assert (answer.status_code, answer.content) == (206, content[999:9001])


def test_resampled_file_has_a_name_of_its_own(client):
    row = client.json("/api/images/11/")
    assert row["file"] == f"{client.url}/media/images/3/image_11_resampled.nii.gz"
    assert row["file_size"] == len(RESAMPLED)
    assert client.get("/media/images/3/image_11_resampled.nii.gz").content == RESAMPLED
    assert client.get("/media/images/3/map_11.nii.gz").status_code == 404
    assert client.get("/media/images/20/image_10_resampled.nii.gz").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/media/../secret.txt",
        "/media/..%2fsecret.txt",
        "/media/%2e%2e/secret.txt",
        "/media/images/20/..%2f..%2f..%2fsecret.txt",
        "/media/images/20/%2e%2e/%2e%2e/%2e%2e/secret.txt",
        "/media//etc/passwd",
        "/media/%2fetc%2fpasswd",
        "/media/images/20/map_9.nii.gz%00.txt",
        "/media/collection_20/collection_metadata.json",
        "/media/images/20/../20/map_9.nii.gz",
        "/media/images/20/map_9.nii.gz/",
    ],
)
def test_no_key_leads_out(dataset, client, path):
    import http.client

    (dataset.parent / "secret.txt").write_text("secret")
    host, _, port = client.url.removeprefix("http://").partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    connection.request("GET", path)  # as it stands: requests would tidy the dots away
    answer = connection.getresponse()
    assert answer.status == 404
    assert b"secret" not in answer.read()
    connection.close()
