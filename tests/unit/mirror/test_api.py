"""Answers, pages, redirects and refusals, in the words and shapes of the real application."""

import json

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from nvframe.mirror import StoredCatalogue, create_app, load_dataset
from nvframe.mirror.paging import limit_and_offset

NOT_FOUND = b'{"detail":"Not found."}'


def ids(page):
    return [row["id"] for row in page["results"]]


def test_root_lists_the_endpoints(client):
    names = ["images", "atlases", "collections", "my_collections", "nidm_results"]
    assert client.json("/api/") == {name: f"{client.url}/api/{name}/" for name in names}


def test_lists_are_ordered_by_number(client):
    assert ids(client.json("/api/images/")) == [9, 10, 11, 100]
    assert ids(client.json("/api/collections/")) == [3, 20]
    assert ids(client.json("/api/collections/20/images/")) == [9, 10, 100]
    assert ids(client.json("/api/atlases/")) == [11]
    assert ids(client.json("/api/collections/3/atlases/")) == [11]
    assert client.json("/api/nidm_results/") == {"count": 0, "next": None, "previous": None, "results": []}


def test_record_has_our_addresses_true_size_and_nothing_local(client):
    row = client.json("/api/images/10/")
    assert row["url"] == f"{client.url}/images/10/"
    assert row["collection"] == f"{client.url}/collections/20/"
    assert row["file"] == f"{client.url}/media/images/20/map_10.nii.gz"
    assert row["file_size"] == len(client.get("/media/images/20/map_10.nii.gz").content)
    assert not [key for key in row if "path" in key or key == "nvframe"]
    assert list(row)[:6] == ["url", "id", "file", "collection", "collection_id", "file_size"]
    collection = client.json("/api/collections/20/")
    assert collection["url"] == f"{client.url}/collections/20/"
    assert collection["download_url"] == f"{client.url}/collections/20/download"
    assert "relative_path" not in collection


def test_list_rows_equal_single_records(client):
    assert client.json("/api/images/")["results"][0] == client.json("/api/images/9/")
    assert client.json("/api/images/0009/") == client.json("/api/images/9/")


def test_base_url_replaces_the_request_s(dataset, serving):
    client = serving(load_dataset(str(dataset)), base_url="https://lab.example/nv/")
    page = client.json("/api/images/?limit=1")
    assert page["next"] == "https://lab.example/nv/api/images/?limit=1&offset=1"
    assert page["results"][0]["file"] == "https://lab.example/nv/media/images/20/map_9.nii.gz"


def test_app_can_be_mounted_below_another(dataset, serving):
    inner = create_app(load_dataset(str(dataset)))
    client = serving(Starlette(routes=[Mount("/nv", inner)]))
    page = client.json("/nv/api/images/?limit=1")
    assert page["next"] == f"{client.url}/nv/api/images/?limit=1&offset=1"
    assert page["results"][0]["url"] == f"{client.url}/nv/images/9/"
    assert client.get("/nv/api/images").headers["Location"] == "/nv/api/images/"


@pytest.mark.parametrize(
    ("query", "expected", "following", "previous"),
    [
        ("", [9, 10, 11, 100], None, None),
        ("limit=2", [9, 10], "limit=2&offset=2", None),
        ("limit=2&offset=2", [11, 100], None, "limit=2"),
        ("limit=1&offset=2", [11], "limit=1&offset=3", "limit=1&offset=1"),
        ("offset=1&limit=2&name=x&DOI=", [10, 11], "DOI=&limit=2&name=x&offset=3", "DOI=&limit=2&name=x"),
        ("limit=4", [9, 10, 11, 100], None, None),
        ("offset=4", [], None, "limit=100"),
        ("offset=999999", [], None, "limit=100&offset=999899"),
        ("limit=0", [9, 10, 11, 100], None, None),
        ("limit=-3&offset=-3", [9, 10, 11, 100], None, None),
        ("limit=many&offset=few", [9, 10, 11, 100], None, None),
        ("limit=1&limit=3", [9, 10, 11], "limit=3&offset=3", None),
    ],
)
def test_pages(client, query, expected, following, previous):
    page = client.json(f"/api/images/?{query}")
    assert page["count"] == 4
    assert ids(page) == expected
    url = f"{client.url}/api/images/?"
    assert page["next"] == (following and url + following)
    assert page["previous"] == (previous and url + previous)


def test_limit_is_capped_in_silence():
    assert limit_and_offset("limit=1000000000") == (1000, 0)
    assert limit_and_offset("limit=" + "9" * 5000) == (100, 0)


@pytest.mark.parametrize("path", ["/api/images/999/", "/api/images/abc/", "/api/collections/999/",
                                  "/api/collections/abc/", "/api/collections/999/images/",
                                  "/api/collections/99999999999999999999/", "/api/images/%F0%9F%A7%A0/",
                                  "/api/images/?format=xml", "/api/images/9/?format=xml"])  # fmt: skip
def test_unknown_is_404_in_json(client, path):
    answer = client.get(path)
    assert (answer.status_code, answer.content) == (404, NOT_FOUND)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api/nope/",
        "/api/nope",
        "/media/nope.nii.gz",
        "/media/",
        "/media",
        "/api/collections/20/collections/",
        "/api/collections/10.1000/x.1/",
        "/api/images/%0d%0aX:1",
    ],
)
def test_other_addresses_are_404_in_html(client, path):
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/api", "/api/"),
        ("/api/images?limit=2&offset=1", "/api/images/?limit=2&offset=1"),
        ("/api/images/9", "/api/images/9/"),
        ("/api/collections/999?format=json", "/api/collections/999/?format=json"),
        ("/api/collections/20/images", "/api/collections/20/images/"),
        ("/api/images/%20x:1", "/api/images/%20x%3A1/"),
    ],
)
def test_missing_slash_is_a_permanent_redirect(client, path, location):
    answer = client.get(path)
    assert (answer.status_code, answer.headers["Location"]) == (301, location)


def test_only_get_and_head(client):
    head = client.request("HEAD", "/api/images/9/")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(client.get("/api/images/9/").content))
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        answer = client.request(method, "/api/images/")
        assert answer.status_code == 405
        assert answer.json() == {"detail": f'Method "{method}" not allowed.'}


def test_words(client):
    assert client.json("/api/decode/?neurovault=9") == {"data": {"values": {"motor": 0.5}}}
    assert client.json("/api/decode/?neurovault=10") == {"data": {"values": {}}}
    for unknown in ("/api/decode/?neurovault=999", "/api/decode/", "/api/decode/?neurovault=../9"):
        assert client.get(unknown).status_code == 404


@pytest.mark.parametrize(
    "damage", ["", '{"data": {"values": {"mot', '{"data": null}', "[]", '{"data":{"values":[]}}']
)
def test_damaged_words_count_as_none(dataset, client, damage):
    (dataset / "collection_20" / "neurosynth_words_for_image_9.json").write_text(damage)
    assert client.json("/api/decode/?neurovault=9") == {"data": {"values": {}}}
    (dataset / "collection_20" / "neurosynth_words_for_image_9.json").unlink()
    assert client.json("/api/decode/?neurovault=9") == {"data": {"values": {}}}


def test_uploaders_own_fields_come_through_unchanged(serving):
    own = {"clé 🧠": [1, None, {"a": "b"}], "Rating": "0012", "big": 1.5e300, "url2": "see /media/ there",
           "trap": "\\u0000nvframe-mirror\\u0000"}  # fmt: skip
    catalogue = StoredCatalogue()
    catalogue.add_collection({"id": 1})
    catalogue.add_image({"id": 2, "collection_id": 1, "file": None, **own})
    row = serving(catalogue).json("/api/images/2/")
    assert {key: row[key] for key in own} == own
    assert row["file"] is None


def test_ids_that_are_no_numbers_are_served_after_the_others(serving):
    catalogue = StoredCatalogue()
    catalogue.add_collection({"id": "ds000001"})
    for image_id in ("sub-01", 7):
        catalogue.add_image({"id": image_id, "collection_id": "ds000001"})
    client = serving(catalogue)
    assert ids(client.json("/api/collections/ds000001/images/")) == [7, "sub-01"]
    assert client.get("/api/images/sub-01/").status_code == 200


def test_refuses_who_asks_for_collections_of_their_own(client):
    answer = client.get("/api/my_collections/")
    assert answer.status_code == 401
    assert json.loads(answer.content) == {"detail": "Authentication credentials were not provided."}
