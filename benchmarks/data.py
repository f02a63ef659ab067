"""What the rows work on: a corpus to serve, and caches as a fetch leaves them. None of it is measured data."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from nvframe.cache import layout
from nvframe.imaging.grids import STD_AFFINE, named_grid
from nvframe.testing.corpus.brains import TASKS
from nvframe.testing.corpus.fields import collection_metadata, image_metadata
from nvframe.types import ORIGINAL, Asset

FIRST_IMAGE_ID = 1001
DISTINCT_MAPS = 10
COLLECTIONS = 10


def t_map(seed: int = 0, dtype: str = "float32", affine: Any = None, shape: Any = None) -> Any:
    """Return smooth noise inside an ellipsoid of 228 000 voxels at 2 mm, FSL's grid unless another is given."""
    import nibabel
    from scipy.ndimage import gaussian_filter

    grid = named_grid("MNI152NLin6Asym-2mm")
    affine, shape = np.array(affine or grid.affine, dtype=float), tuple(shape or grid.shape)
    voxel = np.abs(np.diag(affine)[:3])
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 5.0 / voxel)
    where = np.indices(shape).reshape(3, -1).T * np.diag(affine)[:3] + affine[:3, 3]
    inside = (((where - (0, -17, 13)) / (67, 85, 75)) ** 2).sum(axis=1).reshape(shape) <= 1
    data = np.where(inside, 2 * noise / noise[inside].std(), 0).astype(dtype)
    return nibabel.Nifti1Image(data, affine)


@lru_cache(maxsize=DISTINCT_MAPS)
def served_map(seed: int) -> bytes:
    """Return a map as uploaders leave it: float32 at 2 mm, zlib level 6, about 0.9 MB."""
    return gzip.compress(t_map(seed).to_bytes(), 6, mtime=0)


@lru_cache(maxsize=1)
def resampled_map() -> bytes:
    """Return what `resample-3mm` makes of the first map."""
    from nvframe.imaging import nifti
    from nvframe.imaging.resample import resample

    return nifti.encode(resample(nifti.read(served_map(0)), STD_AFFINE))


@lru_cache(maxsize=1)
def tiny_map() -> bytes:
    """Return a valid image of a few hundred bytes."""
    import nibabel

    return gzip.compress(nibabel.Nifti1Image(np.ones((2, 2, 2), "float32"), np.eye(4)).to_bytes(), mtime=0)


def _rows(n_images: int, n_collections: int, size: int) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Yield each collection with its images; never all at once, for there may be a million."""
    for number in range(n_collections):
        positions = range(*(-(-n_images * end // n_collections) for end in (number, number + 1)))
        yield number + 1, [_row(number + 1, position, size) for position in positions]


def _row(collection_id: int, position: int, size: int) -> dict[str, Any]:
    image_id, task = FIRST_IMAGE_ID + position, TASKS[position % len(TASKS)]
    return image_metadata(collection_id, image_id, task, "unthresholded", f"map_{image_id}", size, 25.3)


def write_corpus(directory: Path, n_images: int = 100) -> Path:
    """Write a corpus folder of maps of 0.9 MB; few are distinct, the others are further names of these."""
    for seed in range(DISTINCT_MAPS):
        _write(directory / f"distinct/{seed}.nii.gz", served_map(seed))
    for collection_id, rows in _rows(n_images, COLLECTIONS, len(served_map(0))):
        for row in rows:
            seed = row["id"] % DISTINCT_MAPS
            row["file_size"] = len(served_map(seed))
            media = directory / f"media/images/{collection_id}/map_{row['id']}.nii.gz"
            media.parent.mkdir(parents=True, exist_ok=True)
            media.hardlink_to(directory / f"distinct/{seed}.nii.gz")
        _write_json(
            directory / f"collections/{collection_id}.json", collection_metadata(collection_id, len(rows))
        )
        page = {"count": len(rows), "next": None, "previous": None, "results": rows}
        _write_json(directory / f"collections/{collection_id}_images.json", page)
    return directory


def write_cache(
    data_dir: Path, n_images: int, content: bytes, *, role: str = ORIGINAL, by_nvframe: bool = True
) -> Path:
    """Write what a fetch leaves, fifty images to a collection.

    One file per collection has all the names of its images: no file system allows a hundred thousand.
    """
    root = data_dir / "neurovault"
    recorded = _described(content)
    for collection_id, rows in _rows(n_images, max(1, n_images // 50), len(content)):
        collection = {
            **collection_metadata(collection_id, len(rows)),
            "relative_path": f"collection_{collection_id}",
        }
        _write_json(root / layout.collection_key(str(collection_id)), collection)
        first = root / layout.asset_key(str(collection_id), str(rows[0]["id"]), role)
        first.write_bytes(content)
        for row in rows:
            ids = str(collection_id), str(row["id"])
            key = layout.asset_key(*ids, role)
            if root / key != first:
                (root / key).hardlink_to(first)
            sidecar = {**row, **layout.image_paths(*ids)}
            asset = Asset(key, *recorded)
            body = layout.sidecar_json(sidecar, {role: asset}) if by_nvframe else json.dumps(sidecar).encode()
            (root / layout.sidecar_key(*ids)).write_bytes(body)
    return data_dir


def _described(content: bytes) -> tuple[Any, ...]:
    from nvframe.imaging import nifti

    info = nifti.read_info(io.BytesIO(content))
    return len(content), info.shape, info.affine, info.dtype, hashlib.sha256(content).hexdigest(), ()


def write_words(directory: Path, n_images: int = 100, n_words: int = 3200) -> list[Path]:
    """Write Neurosynth's answers for as many images."""
    weights = np.random.default_rng(0).normal(0, 0.1, (n_images, n_words)).round(6)
    paths = [directory / f"neurosynth_words_for_image_{FIRST_IMAGE_ID + i}.json" for i in range(n_images)]
    for path, row in zip(paths, weights.tolist(), strict=True):
        values = {f"word {j:04}": weight for j, weight in enumerate(row)}
        _write_json(path, {"data": {"values": values}})
    return paths


def _write_json(path: Path, document: Any) -> None:
    _write(path, json.dumps(document).encode())


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
