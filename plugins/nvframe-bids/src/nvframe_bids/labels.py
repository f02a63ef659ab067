"""What a written file is called: metadata of any source as BIDS entities."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from nvframe_bids.source import MAP_TYPES

ORDER = ("sub", "ses", "task", "acq", "run", "space", "res", "den", "contrast", "stat", "desc")
"""Entities of a written name, in their order."""

_STATS = {name: stat for stat, name in MAP_TYPES.items()} | {
    "Chi squared map": "chi2",
    '1-P map ("inverted" probability)': "oneMinusP",
}
_LONGEST_LABEL = 40


def label(value: object) -> str:
    """Return any text as a BIDS label: letters and digits, with a capital where a word begins.

    Examples
    --------
    >>> label("successful stop > go"), label("02"), label(None)
    ('successfulStopGo', '02', '')
    """
    words = re.findall(r"[A-Za-z0-9]+", "" if value is None else str(value))
    return "".join([*words[:1], *(word[:1].upper() + word[1:] for word in words[1:])])[:_LONGEST_LABEL]


def entities_of(meta: Mapping[str, Any]) -> dict[str, str]:
    """Return an image's entities in their order: those it has, else what its other fields say.

    Examples
    --------
    >>> entities_of({"id": 7, "map_type": "T map", "name": "stop > go", "target_template_image": "GenericMNI"})
    {'space': 'GenericMNI', 'contrast': 'stopGo', 'stat': 't', 'desc': '7'}
    """
    from_bids = "suffix" in meta
    said = {
        "task": meta.get("cognitive_paradigm_cogatlas"),
        "space": meta.get("target_template_image"),
        "contrast": None if from_bids else meta.get("contrast_definition") or meta.get("name"),
        "stat": _STATS.get(str(meta.get("map_type"))),
        "desc": None if from_bids else meta.get("id"),
    }
    labels = {key: label(meta.get(key) or said.get(key)) for key in ORDER}
    return {key: value for key, value in labels.items() if value}


def suffix_of(meta: Mapping[str, Any]) -> str:
    """Return an image's suffix, ``statmap`` where it has none."""
    return label(meta.get("suffix")) or "statmap"


def file_stem(meta: Mapping[str, Any], taken: set[str]) -> str:
    """Return the path of an image in its dataset, without extension, different from all that are `taken`.

    Examples
    --------
    >>> file_stem({"id": "x", "sub": "01", "datatype": "func", "stat": "z", "suffix": "statmap"}, set())
    'sub-01/func/sub-01_stat-z_statmap'
    """
    entities, suffix = entities_of(meta), suffix_of(meta)
    stem = _path(entities, suffix, meta)
    if stem in taken:
        digest = hashlib.sha256(str(meta.get("id")).encode()).hexdigest()[:8]
        entities["desc"] = f"{entities.get('desc', '')}{digest}"
        stem = _path({key: entities[key] for key in ORDER if key in entities}, suffix, meta)
    taken.add(stem)
    return stem


def _path(entities: Mapping[str, str], suffix: str, meta: Mapping[str, Any]) -> str:
    name = "_".join([*(f"{key}-{value}" for key, value in entities.items()), suffix])
    if "sub" not in entities:
        return name
    session = [f"ses-{entities['ses']}"] if "ses" in entities else []
    return "/".join([f"sub-{entities['sub']}", *session, label(meta.get("datatype")) or "func", name])
