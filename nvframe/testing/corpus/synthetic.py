"""A synthetic corpus: collections, images and words as NeuroVault has them, none of it measured."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nvframe.testing.corpus.brains import GRIDS, TASKS, Box, Style, Task, draw
from nvframe.testing.corpus.fields import collection_metadata, decoded_words, image_metadata

FIRST_IMAGE_ID = 1001

_SPECIAL: tuple[Style, ...] = ("thresholded", "roi", "atlas")


def synthetic_corpus(
    directory: str | os.PathLike[str],
    n_collections: int = 3,
    images_per_collection: int = 4,
    seed: int = 0,
    *,
    grids: Sequence[str | Box] = ("MNI152NLin6Asym-2mm", "SPM-3mm", "RAS-4mm"),
    specials: bool = True,
    words: bool = True,
) -> Path:
    """Write a corpus folder: ``collections/``, ``media/`` and ``words/``.

    The same arguments give the same bytes.

    Parameters
    ----------
    directory : path-like
        Where to; made if it does not exist.
    n_collections, images_per_collection : int, default=3 and 4
        How many. Collections are numbered from 1, images from 1001.
    seed : int, default=0
        Of the noise.
    grids : sequence of str or (affine, shape)
        Names in `nvframe.testing.corpus.brains.GRIDS`, or grids whose axes run along x, y and z; used in turn.
    specials : bool, default=True
        Whether the last images of the first three collections are a thresholded map, a ROI and an atlas;
        without them every image passes the default terms.
    words : bool, default=True
        Whether each image gets an answer for ``/api/decode/``.

    Returns
    -------
    pathlib.Path
        `directory`.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as directory:
    ...     corpus = synthetic_corpus(directory, 1, 2, grids=["RAS-8mm"], specials=False)
    ...     sorted(p.name for p in corpus.glob("media/images/1/*"))
    ['motor_1001.nii.gz', 'visual_1002.nii.gz']
    """
    root = Path(directory)
    boxes = [GRIDS[grid] if isinstance(grid, str) else grid for grid in grids]
    image_id = FIRST_IMAGE_ID
    for collection_id in range(1, n_collections + 1):
        rows = []
        for position in range(images_per_collection):
            last = specials and position == images_per_collection - 1 and collection_id <= len(_SPECIAL)
            style: Style = _SPECIAL[collection_id - 1] if last else "unthresholded"
            row = _write_image(root, collection_id, image_id, style, boxes, seed)
            if collection_id == n_collections:  # uploaders add fields of their own
                row |= {"SubjectID": f"S{position // 2 + 1:02d}", "Rating": position % 5 + 1}
            rows.append(row)
            if words:
                _write_json(root / f"words/{image_id}.json", decoded_words(_task(image_id)))
            image_id += 1
        _write_json(root / f"collections/{collection_id}.json", collection_metadata(collection_id, len(rows)))
        page = {"count": len(rows), "next": None, "previous": None, "results": rows}
        _write_json(root / f"collections/{collection_id}_images.json", page)
    return root


def _task(image_id: int) -> Task:
    return TASKS[(image_id - FIRST_IMAGE_ID) % len(TASKS)]


def _write_image(
    root: Path, collection_id: int, image_id: int, style: Style, boxes: Sequence[Box], seed: int
) -> dict[str, Any]:
    """Write one map (and an atlas's labels) and return its metadata."""
    import numpy as np
    from isal import igzip

    task = _task(image_id)
    box = boxes[(image_id - FIRST_IMAGE_ID) % len(boxes)]
    img = draw(task, box, style, np.random.default_rng([seed, image_id]))
    content: bytes = igzip.compress(img.to_bytes(), 2, mtime=0)
    name = f"{'atlas' if style == 'atlas' else task.name.replace(' ', '_')}_{image_id}"
    _write(root / f"media/images/{collection_id}/{name}.nii.gz", content)
    if style == "atlas":
        _write(root / f"media/images/{collection_id}/{name}.xml", _atlas_labels().encode())
    covered = 100 * float(np.count_nonzero(img.dataobj)) / img.dataobj.size
    return image_metadata(collection_id, image_id, task, style, name, len(content), covered)


def _atlas_labels() -> str:
    """Return the label file of the atlas, in FSL's format."""
    foci = [(task.name, focus) for task in TASKS for focus in task.foci]
    lines = (
        f'    <label index="{index}" x="{x}" y="{y}" z="{z}">{name} {index}</label>'
        for index, (name, (x, y, z)) in enumerate(foci, start=1)
    )
    return "\n".join(_around(lines))


def _around(labels: Iterator[str]) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield '<atlas version="1.0">'
    yield "  <header><name>Synthetic foci</name><type>Label</type></header>"
    yield "  <data>"
    yield from labels
    yield "  </data>\n</atlas>\n"


def _write_json(path: Path, document: Any) -> None:
    import orjson

    _write(path, orjson.dumps(document, option=orjson.OPT_INDENT_2))


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
