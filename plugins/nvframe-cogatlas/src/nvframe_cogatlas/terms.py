"""What metadata say of the Cognitive Atlas, read as terms."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_NEUROVAULT = (
    ("task", "cognitive_paradigm_cogatlas", "cognitive_paradigm_cogatlas_id"),
    ("contrast", "cognitive_contrast_cogatlas", "cognitive_contrast_cogatlas_id"),
)
_BIDS = ("task", "TaskName", "CogAtlasID")

# Uploads name the atlas' ids bare; BIDS sidecars as the end of an address.
_ID = re.compile(r"(?:.*/)?((?:trm|tsk|cnt)_[0-9a-f]+)/?")


@dataclass(frozen=True, slots=True, order=True)
class Term:
    """A task or contrast; sorted by its name.

    Attributes
    ----------
    name : str
        As the metadata have it; the id where there is none.
    kind : str
        ``task`` or ``contrast``.
    id : str
        The atlas' own; empty where the metadata give only a name.
    """

    name: str
    kind: str
    id: str = ""

    def to_json(self) -> dict[str, str]:
        """Return what is stored."""
        return {"kind": self.kind, "id": self.id, "name": self.name}


def terms_in(metadata: Mapping[str, Any]) -> list[Term]:
    """Return the terms that an image's metadata name.

    Examples
    --------
    >>> terms_in({"CogAtlasID": "https://www.cognitiveatlas.org/task/id/trm_4c8a834779883", "TaskName": "rest"})
    [Term(name='rest', kind='task', id='trm_4c8a834779883')]
    """
    found = [_term(kind, metadata.get(name), metadata.get(id_)) for kind, name, id_ in _NEUROVAULT]
    if metadata.get(_BIDS[2]):  # a task name alone may be any lab's word
        found.append(_term(_BIDS[0], metadata.get(_BIDS[1]), metadata.get(_BIDS[2])))
    return list(dict.fromkeys(term for term in found if term))


def stored_terms(annotation: object) -> set[Term]:
    """Return the terms of a stored annotation; none of one that is missing or malformed."""
    try:
        return {Term(str(row["name"]), str(row["kind"]), str(row["id"])) for row in annotation["terms"]}  # type: ignore[index]
    except (KeyError, TypeError):
        return set()


def _term(kind: str, name: object, identifier: object) -> Term | None:
    texts = [value.strip() if isinstance(value, str) else "" for value in (name, identifier)]
    ids = [match[1] for text in reversed(texts) if (match := _ID.fullmatch(text))]
    known = ids[0] if ids else ""
    named = "" if _ID.fullmatch(texts[0]) else texts[0]  # some uploads have the id where its name belongs
    return Term(named or known, kind, known) if named or known else None
