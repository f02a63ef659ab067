"""A frame for result formats, made without a fetch: what the contract promises, and no more."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from nvframe.testing.conformance.examples import example_image, example_record, odd_image
from nvframe.types import Asset, Failure

if TYPE_CHECKING:
    from nvframe.contracts import Annotator, Storage


@dataclass(frozen=True)
class ExampleFrame:
    """Fulfils `nvframe.contracts.FrameView` with what it is given."""

    storage: Storage
    assets: list[Asset]
    images_meta: list[dict[str, Any]]
    collections_meta: list[dict[str, Any]]
    annotations: dict[str, list[Mapping[str, Any] | None]]
    annotators: Sequence[Annotator]
    failures: list[Failure] = field(default_factory=list)
    description: str = "Two collections that nobody measured."
    source: str = "example"

    @property
    def images(self) -> list[str]:
        """Paths of the assets."""
        return [f"{self.storage.url}/{asset.key}" for asset in self.assets]

    def load(self, index: int) -> Any:
        """Return one image."""
        from nvframe.imaging import nifti

        return nifti.read(self.storage.read(self.assets[index].key))

    def part(self, rows: Sequence[int], fetched: bool = True) -> ExampleFrame:
        """Return the frame of some rows; as after a search, without assets, where it is not `fetched`."""
        return replace(
            self,
            assets=[self.assets[i] for i in rows] if fetched else [],
            images_meta=[dict(self.images_meta[i]) for i in rows],
            collections_meta=[dict(self.collections_meta[i]) for i in rows],
            annotations={name: [found[i] for i in rows] for name, found in self.annotations.items()},
            failures=list(self.failures),
        )


class NameLetters:
    """An annotator for examples: how often a letter stands in an image's name."""

    name = "name-letters"
    needs_network = False
    needs_image = False
    sidecar_name = "name_letters_for_image_{id}.json"
    metadata_key = "letters"

    def annotate(self, record: Any, img: Any = None) -> Mapping[str, Any]:
        """Return the count of each letter."""
        name = str(record.metadata.get("name", ""))
        return {letter: name.count(letter) for letter in sorted(set(name)) if letter.isalpha()}

    def collate(
        self, annotations: Sequence[Mapping[str, Any] | None]
    ) -> Mapping[str, tuple[tuple[str, ...], Any, Mapping[str, Any]]]:
        """Return the (image, letter) counts, NaN in the rows that failed."""
        import numpy as np

        letters = sorted(set().union(*(each or {} for each in annotations)))
        rows = [
            [np.nan if each is None else float(each.get(letter, 0)) for letter in letters]
            for each in annotations
        ]
        counts = np.array(rows, dtype=float).reshape(len(annotations), len(letters))
        return {
            "letter_counts": (("image", "letter"), counts, {"long_name": "letters in the name"}),
            "letter": (("letter",), np.array(letters, dtype="U1"), {}),
        }


def example_frame(storage: Storage) -> ExampleFrame:
    """Store three maps of two collections and an odd one of two volumes, and return their frame.

    The second image has no annotation, the fourth is 4-D; one image was lost on the way.
    """
    annotator = NameLetters()
    records = [example_record(n, collection_id=1 + n // 3, name=f"map {'abcd'[n - 1]}") for n in (1, 2, 3, 4)]
    images = [example_image() for _ in range(3)] + [odd_image("two-volumes")]
    assets = [_stored(storage, n, image) for n, image in enumerate(images, start=1)]
    annotations: list[Mapping[str, Any] | None] = [annotator.annotate(record) for record in records]
    annotations[1] = None
    lost = Failure("download", "kit", "5", "1", "", "DownloadError", "answered 404", retryable=False)
    return ExampleFrame(
        storage=storage,
        assets=assets,
        images_meta=[dict(record.metadata) for record in records],
        collections_meta=[
            {"id": record.metadata["collection_id"], "name": "fingers", "DOI": None} for record in records
        ],
        annotations={annotator.name: annotations},
        annotators=(annotator,),
        failures=[lost],
    )


def _stored(storage: Storage, image_id: int, img: Any) -> Asset:
    from nvframe.imaging import nifti

    data = nifti.encode(img)
    key = f"collection_{1 + image_id // 3}/image_{image_id}.nii.gz"
    storage.put(key, data)
    affine = tuple(tuple(float(x) for x in row) for row in img.affine)
    shape = tuple(int(n) for n in img.shape)
    return Asset(key, len(data), shape, affine, str(img.get_data_dtype()), hashlib.sha256(data).hexdigest())
