"""Where the datasets of a tree are, and which images, with which metadata, are in one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from nvframe.errors import DownloadError, SourceError
from nvframe_bids.names import Name, applies, parsed
from nvframe_bids.tree import File, Tree

DESCRIPTION = "dataset_description.json"

_DEEPEST_DATASET = 3
_DEEPEST_IMAGE = 8

# Below these there are no maps, or somebody else's.
_NO_DATASETS = ("sub-", "ses-", "tpl-", ".", "sourcedata", "code", "figures", "logs")
_NO_MAPS = (".", "derivatives", "sourcedata", "code", "figures", "logs")

Found = tuple[File, Name, dict[str, Any]]


def dataset_paths(tree: Tree, path: str = "", depth: int = 0) -> Iterator[str]:
    """Yield the paths of all datasets: the root if it is one, those in ``derivatives``, or those further down."""
    directories, files = tree.listed(path)
    if any(file.name == DESCRIPTION for file in files):
        yield path
        directories = [each for each in directories if PurePosixPath(each).name == "derivatives"]
    if depth < _DEEPEST_DATASET:
        for each in directories:
            if not PurePosixPath(each).name.startswith(_NO_DATASETS):
                yield from dataset_paths(tree, each, depth + 1)


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A JSON file that may be about images beside and below it."""

    name: Name
    path: str


class Images:
    """The maps of one dataset, with the metadata that their sidecars give them; listed as they are asked for.

    Parameters
    ----------
    tree : Tree
        Where the dataset is.
    dataset : str
        Its path.
    only : str, default=""
        A subject's directory, such as ``sub-01``: those of others are not looked into.
    """

    def __init__(self, tree: Tree, dataset: str, only: str = "") -> None:
        self._tree = tree
        self._dataset = dataset
        self._only = only
        self._read: dict[str, Any] = {}

    def __iter__(self) -> Iterator[Found | tuple[str, Exception]]:
        """Yield (file, name, metadata) of each map, and (path, error) of what could not be read."""
        yield from self._below(self._dataset, [], 0)

    def _below(
        self, path: str, inherited: list[Sidecar], depth: int
    ) -> Iterator[Found | tuple[str, Exception]]:
        try:
            directories, files = self._tree.listed(path)
        except DownloadError as error:
            yield path, error
            return
        named = [(file, parsed(file.name)) for file in files]
        here = [Sidecar(name, file.path) for file, name in named if name.extension == ".json"]
        # The one with more entities is about fewer images: it has the last word.
        sidecars = [*inherited, *sorted(here, key=lambda each: len(each.name.entities))]
        for file, name in named:
            if name.is_map:
                yield from self._image(file, name, sidecars)
        for each in directories if depth < _DEEPEST_IMAGE else ():
            if self._is_of_interest(PurePosixPath(each).name):
                yield from self._below(each, sidecars, depth + 1)

    def _is_of_interest(self, directory: str) -> bool:
        another = self._only and directory.startswith("sub-") and directory != self._only
        return not another and not directory.startswith(_NO_MAPS)

    def _image(
        self, file: File, name: Name, sidecars: list[Sidecar]
    ) -> Iterator[Found | tuple[str, Exception]]:
        metadata: dict[str, Any] = {}
        for sidecar in sidecars:
            if applies(sidecar.name, name):
                known = sidecar.path in self._read
                content = self._content(sidecar.path)
                if not isinstance(content, Exception):
                    metadata |= content
                elif not known:
                    yield sidecar.path, content
        yield file, name, metadata

    def _content(self, path: str) -> Any:
        """Return what a sidecar says, or why it cannot be read; read once for all images that it is about."""
        if path not in self._read:
            try:
                self._read[path] = self._tree.json(path)
            except (DownloadError, SourceError) as error:
                self._read[path] = error
        return self._read[path]
