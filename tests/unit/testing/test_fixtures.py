"""The fixtures that come with nvframe."""

import nvframe
from nvframe.plugins import ImageProcessorPlugin


def unchanged(img, record):
    return img


def test_a_storage_is_empty_and_can_be_written(nvframe_storage, request):
    assert list(nvframe_storage.list()) == []
    nvframe_storage.put("collection_1/note.txt", b"hello")
    assert nvframe_storage.read("collection_1/note.txt") == b"hello"
    scheme = nvframe_storage.url.partition("://")[0] if "://" in nvframe_storage.url else "local"
    assert scheme == request.node.callspec.params["nvframe_storage"]


def test_a_bucket_serves_a_fetch(nvframe_server, nvframe_bucket):
    frame = nvframe.fetch(max_images=2, data_dir=f"{nvframe_bucket}/maps")
    assert [url.startswith(nvframe_bucket) for url in frame.images] == [True, True]
    assert frame.load(1).ndim == 3


def test_a_fetch_finds_what_the_registry_was_given(nvframe_server, nvframe_registry, tmp_path):
    nvframe_registry.register(ImageProcessorPlugin("unchanged", lambda: unchanged, "nothing"))
    frame = nvframe.fetch(max_images=1, data_dir=tmp_path, processors=["unchanged"])
    assert len(frame) == 1
