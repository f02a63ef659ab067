"""Zenodo's records as nvframe's: a record is a collection, each NIfTI file in it an image."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from operator import itemgetter
from typing import Any
from urllib.parse import quote

from nvframe.errors import SourceError
from nvframe.types import CollectionRecord, ImageRecord

NAME = "zenodo"

Row = Mapping[str, Any]

_RECORD = re.compile(
    r"(?:https?://\S+/records?/|(?:https?://(?:dx\.)?doi\.org/|doi:)?10\.5281/zenodo\.)?(\d{1,12})/?"
)
_IMAGE = re.compile(r"(\d{1,12})-.+-([0-9a-f]{8})")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_ID = 128


def record_id(named: object) -> str:
    """Return the id of a record, or of a concept, however it is named; SourceError if it names none.

    Examples
    --------
    >>> record_id(1234567), record_id("10.5281/zenodo.1234567"), record_id("https://zenodo.org/records/1234567")
    ('1234567', '1234567', '1234567')
    """
    match = None if isinstance(named, bool) else _RECORD.fullmatch(str(named).strip())
    if match is None:
        raise SourceError(f"{named!r:.160} is not a record of Zenodo: give its number, DOI or address")
    return str(int(match[1]))


def record_of_image(image_id: str) -> str:
    """Return the id of the record that an image is in; SourceError if it is not an id of an image."""
    match = _IMAGE.fullmatch(image_id)
    if match is None:
        raise SourceError(
            f"{image_id!r:.160} is not an image of Zenodo's: ids are record, file and eight digits"
        )
    return match[1]


def image_id(record: str, file_name: str) -> str:
    """Return an id for a file: its record, its name as far as an id can hold it, a digest of the name.

    Examples
    --------
    >>> image_id("1234567", "Go > Stop.nii.gz")
    '1234567-Go-Stop-fc45c2a7'
    """
    digest = hashlib.sha256(file_name.encode()).hexdigest()[:8]
    stem = _UNSAFE.sub("-", file_name.removesuffix(".gz").removesuffix(".nii")).strip("-") or "image"
    return f"{record}-{stem[: _LONGEST_ID - len(record) - len(digest) - 2]}-{digest}"


def collection_record(row: Row, base_url: str) -> CollectionRecord:
    """Return a record as a collection: this version of it, and no other.

    Raises
    ------
    SourceError
        If the row is not a record.
    """
    identifier, described = _id_of(row), _mapping(row.get("metadata"))
    creators = [_mapping(each).get("name") for each in _list(described.get("creators"))]
    licence = described.get("license")
    metadata = {
        "id": identifier,
        "name": described.get("title") or row.get("title") or f"record {identifier}",
        "DOI": row.get("doi") or described.get("doi"),
        "description": described.get("description"),
        "authors": "; ".join(str(name) for name in creators if name) or None,
        "licence": licence.get("id") if isinstance(licence, Mapping) else licence,
        "publication_date": described.get("publication_date"),
        "keywords": described.get("keywords"),
        "access_right": described.get("access_right"),
        "version": described.get("version"),
        "concept_id": _text(row.get("conceptrecid")),
        "concept_doi": row.get("conceptdoi"),
        "modify_date": _modified(row),
        "url": f"{base_url}/records/{identifier}",
        "number_of_images": len(dict(_images_in(row))),
    }
    return CollectionRecord(NAME, identifier, metadata)


def image_records(row: Row, base_url: str) -> Iterator[ImageRecord]:
    """Yield the NIfTI files of a record, by name and each name once; whatever else is in it is passed over."""
    collection, described = _id_of(row), _mapping(row.get("metadata"))
    for name, file in sorted(dict(_images_in(row)).items(), key=itemgetter(0)):
        identifier = image_id(collection, name)
        url = _address(file, collection, name, base_url)
        stated = file.get("size")
        size = stated if isinstance(stated, int) and stated > 0 else None
        metadata = {
            "id": identifier,
            "collection_id": collection,
            "name": name.removesuffix(".gz").removesuffix(".nii"),
            "file_name": name,
            "record_version": described.get("version"),
            "concept_id": _text(row.get("conceptrecid")),
            "checksum": _text(file.get("checksum")),
            "file": url,
            "file_size": size,
            "modify_date": _modified(row),
        }
        yield ImageRecord(
            source=NAME,
            id=identifier,
            collection_id=collection,
            url=url,
            metadata=metadata,
            size=size,
            modified=_modified(row),
        )


def _images_in(row: Row) -> Iterator[tuple[str, Row]]:
    """Yield (name, file); a record that is closed to the caller shows no files."""
    for file in map(_mapping, _list(row.get("files"))):
        name = file.get("key") or file.get("filename")
        if isinstance(name, str) and name.endswith((".nii", ".nii.gz")):
            yield name, file


def _address(file: Row, record: str, name: str, base_url: str) -> str:
    link = _mapping(file.get("links")).get("self")
    return (
        link
        if isinstance(link, str) and link
        else f"{base_url}/api/records/{record}/files/{quote(name)}/content"
    )


def _id_of(row: object) -> str:
    identifier = row.get("id") if isinstance(row, Mapping) else None
    if isinstance(identifier, bool) or not re.fullmatch(r"[0-9]{1,12}", str(identifier)):
        raise SourceError(f"{identifier!r:.80} is not an id of a record: is this Zenodo's API?")
    return str(int(str(identifier)))


def _modified(row: Row) -> str | None:
    when = row.get("modified") or row.get("updated")
    return when if isinstance(when, str) else None


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
