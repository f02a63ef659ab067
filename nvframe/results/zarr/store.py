"""A Zarr that grows: created once on a fixed grid, extended by rows, filled shard by shard, described last."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import xarray as xr

from nvframe.errors import NvframeError, StorageError
from nvframe.results.lattice import FIELD_OF_VIEW, Lattice
from nvframe.results.lazy import READERS
from nvframe.results.zarr.append import joined
from nvframe.results.zarr.arrays import (
    all_missing,
    create_maps,
    dims_of,
    encoded,
    grow,
    is_table,
    put_copy,
    resize,
    row_count,
    same_form,
    write_whole,
)
from nvframe.results.zarr.shards import DATA
from nvframe.storage.target import Target
from nvframe.urls import strip_credentials

if TYPE_CHECKING:
    from zarr import Group

MARK = "nvframe"
"""The group's attribute by which a Zarr is known as ours."""

STATUS = "status"

NEXT = "_next"
"""The group in which columns of another type wait until all rows are filled."""

Method = TypeVar("Method", bound=Callable[..., Any])
_OR_OVERWRITE = ", or overwrite=True to replace a Zarr"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is fixed when a Zarr is created.

    Attributes
    ----------
    layout : {"maps", "voxels"}
        ``(image, x, y, z)`` in shards, or ``(image, voxel)``.
    lattice : Lattice
        Whose box the maps cover, or the mask's voxels lie in.
    mask : str
        With ``voxels``, the sha256 of their places on the lattice and of what fills gaps.
    """

    layout: str
    lattice: Lattice
    mask: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the value of the group's attribute."""
        origin, zooms, box = self.lattice.origin, self.lattice.zooms, self.lattice.box
        return {
            "schema": 1,
            "layout": self.layout,
            "origin": origin,
            "zooms": zooms,
            "box": box,
            "mask": self.mask,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Plan:
        """Build a plan from the group's attribute."""
        x, y, z = ((int(start), int(stop)) for start, stop in data["box"])
        origin, zooms = (tuple(float(v) for v in data[name]) for name in ("origin", "zooms"))
        lattice = Lattice(origin, zooms, (x, y, z))  # type: ignore[arg-type]
        return cls(str(data["layout"]), lattice, str(data["mask"]))


def _told(verb: str) -> Callable[[Method], Method]:
    """Raise what a file system or a bucket has to say, whatever its type, as a StorageError."""

    def wrap(method: Method) -> Method:
        @wraps(method)
        def telling(self: Cube, *args: Any) -> Any:
            try:
                return method(self, *args)
            except (NvframeError, ValueError, TypeError):
                raise
            except Exception as error:
                raise self._target.problem(verb, error) from error

        return cast("Method", telling)

    return wrap


class Cube:
    """A Zarr of ours; only the caller's thread has one, workers write shards.

    Parameters
    ----------
    target : Target
        Where it lies.
    anew : bool
        Whether a Zarr that lies there is to be replaced: it stays until there is something to put in its place.
    """

    def __init__(self, target: Target, anew: bool) -> None:
        self._target = target
        self._anew = anew

    def plan(self) -> Plan | None:
        """Return what is there; None where there is nothing, or nothing that was completely begun.

        Raises
        ------
        StorageError
            If something else lies there, or the place cannot be reached.
        """
        attributes, names = self._look()
        if attributes is None and names and self._anew:
            url = strip_credentials(self._target.url)
            raise StorageError(
                f"something that is not a Zarr lies at {url}: remove it yourself, if you mean to"
            )
        if self._anew or (attributes is None and not names):
            return None
        if attributes is None or MARK not in attributes:
            what = "another Zarr" if attributes is not None else "something that is not a Zarr"
            raise StorageError(
                f"{what} lies at {strip_credentials(self._target.url)}: name an empty place{_OR_OVERWRITE}"
            )
        # Status is written when all else is in place: without it nothing was stored yet.
        return Plan.from_json(attributes[MARK]) if STATUS in self._group() else None

    @_told("create")
    def create(self, plan: Plan, columns: xr.Dataset) -> None:
        """Write everything but the maps: coordinates, words, and last that all images are missing."""
        import zarr

        if self._look()[1]:  # to be replaced, or begun by a run that was killed before anything was stored
            fs, path = self._target.filesystem()
            for name in fs.ls(path, detail=False):  # the directory stays: it is locked
                fs.rm(name, recursive=True)
        self._anew = False
        attributes = {MARK: plan.to_json(), **columns.attrs}
        group = zarr.create_group(self._target.store(), attributes=attributes, zarr_format=3)
        create_maps(group, plan.layout, columns)
        _side_by_side(lambda name: write_whole(group, name, columns.variables[name]), columns.variables)
        write_whole(group, STATUS, all_missing(columns.sizes["image"]))

    @_told("read")
    def stored(self) -> list[bool]:
        """Return for each row whether it holds its image."""
        status: Any = self._group()[STATUS]
        return [bool(value) for value in status[:]]

    @_told("read")
    def known(self) -> xr.Dataset:
        """Return everything but the maps of a Zarr with a plan, in memory, as far as it was completed."""
        group = self._group()
        if NEXT in group:
            if group[NEXT].attrs.get("rows") == row_count(group[STATUS]):
                self.describe()
            else:
                del group[NEXT]  # of a run that was killed before it added its rows
            group = self._group()
        self._cut(group, row_count(group[STATUS]))
        opened: xr.Dataset = xr.open_zarr(
            self._target.store(), chunks=None, consolidated=False, zarr_format=3, drop_variables=[DATA]
        )
        return opened.load()

    @_told("extend")
    def extend(self, known: xr.Dataset, added: xr.Dataset) -> None:
        """Add rows: columns that keep their type grow; the others wait beside until `describe`; status comes last.

        So readers, who go by the consolidated metadata, see what was there before, and nothing that a killed run
        was about to replace is lost.
        """
        group, old = self._group(), known.sizes["image"]
        everything = joined(known.drop_vars(STATUS), added)
        waiting = group.create_group(NEXT, overwrite=True)

        def add(name: str) -> None:
            before, variable = known.variables.get(name), everything[name]
            if before is None:
                write_whole(group, name, variable)
            elif not same_form(before, variable):
                write_whole(waiting, name, variable)
            elif variable.dims[0] == "image":
                grow(group[name], variable[old:])

        _side_by_side(add, everything)
        shared = {"space", "map_type"} & set(group.attrs)
        unshared = sorted(name for name in shared if added.attrs.get(name) != group.attrs[name])
        waiting.attrs.update({"rows": old + added.sizes["image"], "unshared": unshared})
        resize(group[DATA], old + added.sizes["image"])
        grow(group[STATUS], all_missing(added.sizes["image"]))

    @_told("write to")
    def renew(self, row: int, columns: xr.Dataset) -> None:
        """Note which file a row that holds no image is now to hold, and where that lies."""
        group = self._group()
        for name in ("sha256", "original_axcodes", "coverage", *FIELD_OF_VIEW):
            if name in columns.variables:
                array: Any = group[name]
                array[row : row + 1] = encoded(columns.variables[name])[0]

    @_told("write to")
    def note(self, rows: Iterable[int]) -> None:
        """Note rows as stored."""
        noted = sorted(rows)
        if not noted:
            return
        status: Any = self._group()[STATUS]
        around = slice(noted[0], noted[-1] + 1)
        found = status[around]
        found[np.array(noted) - noted[0]] = 1
        status[around] = found

    @_told("write to")
    def describe(self) -> None:
        """Put what waits in its place and consolidate the metadata: from now on readers see what was added."""
        import zarr

        group = self._group()
        if NEXT in group:
            waiting: Any = group[NEXT]
            _side_by_side(lambda name: put_copy(group, name, waiting[name]), list(waiting.array_keys()))
            for name in waiting.attrs["unshared"]:
                group.attrs.pop(name, None)
            del group[NEXT]
        inner = {name for name, array in group.arrays() if name != DATA and not is_table(array)}
        group.attrs["coordinates"] = " ".join(sorted(inner))
        with warnings.catch_warnings():
            # Zarr 3's specification has no word on it yet; zarr and xarray write and read it all the same.
            warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
            zarr.consolidate_metadata(self._target.store(), zarr_format=3)

    def _cut(self, group: Group, rows: int) -> None:
        """Take back the rows that a killed run had begun to add."""
        for _, array in group.arrays():
            if dims_of(array)[0] == "image" and row_count(array) > rows:
                resize(array, rows)

    def _group(self) -> Group:
        import zarr

        return zarr.open_group(self._target.store(), mode="r+", zarr_format=3, use_consolidated=False)

    def _look(self) -> tuple[dict[str, Any] | None, list[str]]:
        """Return the attributes of a group of Zarr 3, None where there is none, and the names of what is there."""
        try:
            fs, path = self._target.filesystem()
            fs.invalidate_cache()
            names = list(fs.ls(path, detail=False)) if fs.exists(path) else []
        except Exception as error:
            raise self._target.problem("look into", error) from error
        document = self._target.document()
        return (None if document is None else document.get("attributes", {})), names


def _side_by_side(work: Callable[[str], None], names: Iterable[Any]) -> None:
    """Do the same for each variable: a bucket answers a hundred small requests best at once."""
    with ThreadPoolExecutor(READERS) as pool:
        list(pool.map(work, names))
