"""nvframe search."""

import json

from nvframe.testing import NeuroVaultServer


def test_a_pipe_gets_lines_with_tabs(run, nvframe_server):
    result = run("search", "--max-images", 3)
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert [line[0] for line in lines] == ["1001", "1002", "1003"]
    assert {len(line) for line in lines} == {5}


def test_a_terminal_gets_a_table(run, nvframe_server, terminal):
    result = run("search", "--max-images", 2)
    assert "collection_id" in result.stdout
    assert "2 images" in result.stdout
    assert "\t" not in result.stdout


def test_json_is_one_document(run, nvframe_server):
    document = json.loads(run("search", "--where", "map_type=T map", "--json").stdout)
    assert {image["map_type"] for image in document["images"]} == {"T map"}
    assert len(document["collections"]) == len(document["images"])
    assert document["failures"] == []


def test_the_names_of_collections_can_be_shown(run, nvframe_server):
    result = run("search", "--collection-id", 2, "--fields", "id,collection_name")
    assert result.stdout.splitlines()[0] == "1005\tSynthetic collection 2"
    assert len(result.stdout.splitlines()) == 4


def test_a_field_that_no_image_has_is_said_with_its_neighbours(run, nvframe_server):
    result = run("search", "--fields", "id,map_typ", "--max-images", 1)
    assert result.exit_code == 0
    assert result.stderr.startswith(
        "nvframe: warning: no image has the field 'map_typ'; did you mean map_type"
    )


def test_nothing_found_is_no_error_and_is_said(run, nvframe_server):
    result = run("search", "--where", "map_type=Q map")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no image meets these conditions" in result.stderr


def test_a_server_that_is_down_is_one_line_and_exit_code_1(run, monkeypatch):
    monkeypatch.setenv("NVFRAME_NEUROVAULT_URL", "http://127.0.0.1:9")
    result = run("search")
    assert (result.exit_code, result.stdout) == (1, "")
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("nvframe: error: nothing came back")


def test_some_lost_is_exit_code_3(run, nvframe_server):
    result = run("search", "--image-id", 1001, "--image-id", 999999)
    assert result.exit_code == 3
    assert result.stdout.startswith("1001\t")
    assert "nvframe: lost: image 999999" in result.stderr


def test_offline_asks_nobody(run, nvframe_server):
    run("fetch", "--max-images", 2)
    nvframe_server.clear()
    result = run("search", "--offline")
    assert len(result.stdout.splitlines()) == 2
    assert nvframe_server.requests == []


def test_names_cannot_command_the_terminal(run, tmp_path, monkeypatch):
    from nvframe.testing import synthetic_corpus

    corpus = synthetic_corpus(tmp_path / "corpus", 1, 1, grids=("RAS-8mm",), specials=False)
    page = corpus / "collections/1_images.json"
    page.write_text(page.read_text().replace("synthetic motor 1001", "\\u001b[2Jgone\\ttab"))
    with NeuroVaultServer.from_corpus(corpus) as server:
        for name, value in server.environ.items():
            monkeypatch.setenv(name, value)
        result = run("search", "--fields", "name")
    assert result.stdout == "[2Jgone tab\n"
