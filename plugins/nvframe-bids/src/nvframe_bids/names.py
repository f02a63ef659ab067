"""BIDS file names: entities, suffix, extension; which of them are maps; and ids made of paths."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

EXTENSIONS = (".nii.gz", ".nii")

_ENTITY = re.compile(r"([A-Za-z0-9]+)-([A-Za-z0-9+]+)")
_READABLE = re.compile(r"[A-Za-z0-9_-]+")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_ID = 128
_DIGEST = 8

# Single volumes that summarise a run, beside the suffixes that end in "map".
_SUMMARIES = frozenset({"mean", "median", "std", "sd", "var", "tsnr", "snr"})
_RAW_MAPS = frozenset({"fieldmap"})


@dataclass(frozen=True, slots=True)
class Name:
    """A BIDS file name, taken apart.

    Attributes
    ----------
    entities : Mapping
        Key to label in the order of the name, such as ``sub`` to ``01``.
    suffix : str
        The last part of the stem.
    extension : str
        From the first dot on.
    """

    entities: Mapping[str, str] = field(hash=False)
    suffix: str
    extension: str

    @property
    def is_map(self) -> bool:
        """Whether it names a map of one volume: of a statistic, a parameter, a mean, a reference."""
        if self.extension not in EXTENSIONS:
            return False
        if "stat" in self.entities or self.suffix == "boldref":
            return True
        if self.suffix.lower().endswith("map"):
            return self.suffix not in _RAW_MAPS
        return (
            self.suffix in ("bold", "cbf", "asl", "pet")
            and self.entities.get("desc", "").lower() in _SUMMARIES
        )


def parsed(file_name: str) -> Name:
    """Return a file name's parts; what is no ``key-label`` is passed over.

    Examples
    --------
    >>> name = parsed("sub-01_task-stop_contrast-go_stat-t_statmap.nii.gz")
    >>> dict(name.entities), name.suffix, name.extension, name.is_map
    ({'sub': '01', 'task': 'stop', 'contrast': 'go', 'stat': 't'}, 'statmap', '.nii.gz', True)
    """
    stem, dot, rest = file_name.partition(".")
    *pairs, suffix = stem.split("_")
    entities = {match[1]: match[2] for pair in pairs if (match := _ENTITY.fullmatch(pair))}
    return Name(entities, suffix, dot + rest)


def applies(sidecar: Name, image: Name) -> bool:
    """Tell whether a JSON file is about an image: the same suffix, and no entity that the image does not share."""
    return (
        sidecar.extension == ".json"
        and sidecar.suffix == image.suffix
        and sidecar.entities.items() <= image.entities.items()
    )


def collection_id(path: str, root_name: str) -> str:
    """Return the id of the dataset at a path below the root.

    Examples
    --------
    >>> collection_id("derivatives/fmriprep", "ds1"), collection_id("", "ds1")
    ('derivatives.fmriprep', 'ds1')
    >>> collection_id("derivatives/my pipeline", "ds1")
    'derivatives.my-pipeline-12b2b930'
    """
    parts = PurePosixPath(path or root_name or "root").parts
    joined = ".".join(parts)
    if len(joined) <= _LONGEST_ID and all(_READABLE.fullmatch(part) for part in parts):
        return joined
    return _with_digest(joined, path or root_name)


def image_id(path: str) -> str:
    """Return the id of the image at a path below the root: its name, and a digest of the whole path.

    Examples
    --------
    >>> image_id("derivatives/glm/sub-01/sub-01_stat-t_statmap.nii.gz")
    'sub-01_stat-t_statmap-8f3e5027'
    """
    return _with_digest(PurePosixPath(path).name.partition(".")[0], path)


def _with_digest(readable: str, path: str) -> str:
    digest = hashlib.sha256(path.encode()).hexdigest()[:_DIGEST]
    return f"{_UNSAFE.sub('-', readable)[: _LONGEST_ID - _DIGEST - 1]}-{digest}"
