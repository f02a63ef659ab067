"""What an atlas' regions are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any

_ENDINGS = (".tsv", ".csv")
_INDEX_COLUMNS = ("index", "label", "id", "value")
_NAME_COLUMNS = ("name", "region", "label", "abbreviation")


def companion_of(source: Any) -> Path | None:
    """Return the table beside an atlas file, as BIDS has it: ``atlas_dseg.tsv`` beside ``atlas_dseg.nii.gz``."""
    if not isinstance(source, str | PathLike) or "://" in fspath(source):
        return None
    path = Path(source)
    stem = path.name.removesuffix(".gz").removesuffix(".nii")
    beside = (path.with_name(stem + ending) for ending in _ENDINGS)
    return next((table for table in beside if table.is_file()), None)


def region_names(names: Any, labels: Sequence[int], is_maps: bool) -> list[str]:
    """Return a name for each label or map.

    Parameters
    ----------
    names : sequence, mapping, path or None
        In the order of the labels or maps, "Background" first or not; or by label; or a ``.tsv`` or ``.csv``
        table with a column ``name`` and, for labels, a column ``index``. None takes the numbers.
    labels : sequence of int
        The labels, ascending; positions from 0 on for maps.
    is_maps : bool
        Whether the atlas is of maps.

    Returns
    -------
    list of str
        Aligned with `labels`.

    Raises
    ------
    ValueError
        If a name is missing, there are too many, or one is there twice.

    Examples
    --------
    >>> region_names(["Background", "left", "right"], [1, 2], is_maps=False)
    ['left', 'right']
    >>> region_names({7: "thalamus"}, [7, 9], is_maps=False)
    Traceback (most recent call last):
    ...
    ValueError: no name for region 9 of the atlas
    """
    if isinstance(names, str | PathLike):
        names = _from_table(Path(names), is_maps)
    if names is None:
        return [str(label) for label in labels]
    found = _by_label(names, labels) if isinstance(names, Mapping) else _in_order(names, labels)
    twice = {name for name in found if found.count(name) > 1}
    if twice:
        raise ValueError(f"regions must have different names, but {min(twice)!r} is there twice")
    return found


def _by_label(names: Mapping[Any, Any], labels: Sequence[int]) -> list[str]:
    known = {int(label): str(name) for label, name in names.items()}
    for label in labels:
        if label not in known:
            raise ValueError(f"no name for region {label} of the atlas")
    return [known[label] for label in labels]


def _in_order(names: Sequence[Any], labels: Sequence[int]) -> list[str]:
    found = [str(name) for name in names]
    if len(found) == len(labels) + 1 and found[0].lower() == "background":
        found = found[1:]
    if len(found) != len(labels):
        raise ValueError(f"{len(found)} names for {len(labels)} regions")
    return found


def _from_table(path: Path, is_maps: bool) -> dict[int, str] | list[str]:
    import pandas as pd

    table = pd.read_csv(path, sep="," if path.suffix == ".csv" else "\t")
    columns = {str(column).lower(): column for column in table.columns}
    named = next((columns[name] for name in _NAME_COLUMNS if name in columns), None)
    indexed = next(
        (columns[name] for name in _INDEX_COLUMNS if name in columns and columns[name] != named), None
    )
    if named is None or (indexed is None and not is_maps):
        raise ValueError(f"{path.name} has no columns 'index' and 'name': {', '.join(columns)}")
    if is_maps:  # in the order of the maps, whatever they are numbered
        return [str(name) for name in table[named]]
    return dict(zip(table[indexed].astype(int).tolist(), table[named].astype(str).tolist(), strict=True))
