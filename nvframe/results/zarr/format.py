"""A Zarr of many maps: one chunk per image in shards that one task owns, or rows of voxels."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nvframe.errors import PartialResultWarning, warn_caller
from nvframe.options import current_options
from nvframe.results.zarr.shards import DATA, Row
from nvframe.results.zarr.write import filled, shards_of
from nvframe.storage.plugin import options_for
from nvframe.storage.target import Target
from nvframe.types import Asset, Failure

if TYPE_CHECKING:
    import xarray as xr

    from nvframe.contracts import FrameView
    from nvframe.results.dataset import Built, Onto
    from nvframe.results.masking import Voxels
    from nvframe.results.zarr.store import Cube, Plan

LAYOUTS = ("maps", "voxels")
_WORKERS = 4  # each holds one shard


class ZarrFormat:
    """Writes a frame's images into a Zarr that xarray opens without nvframe."""

    def build(
        self,
        frame_view: FrameView,
        url: str,
        overwrite: bool = False,
        *,
        layout: str = "maps",
        mask_img: Any = None,
        fill: float = 0.0,
        join: str = "outer",
        on_mismatch: str = "raise",
        storage_options: Mapping[str, Any] | None = None,
        executor: Any = None,
        max_workers: int | None = None,
        progress: Any = None,
    ) -> str:
        """Write what is not stored yet, and return the url.

        Where a Zarr of the same kind lies at `url`, images that it does not hold are added at its end and those
        that are missing are filled in; what is stored is left as it is. Only one such call may write at a time:
        in a directory a second one is refused, in a bucket it is for you to see to.

        Parameters
        ----------
        frame_view : FrameView
            The frame.
        url : str
            Path or URL of the Zarr.
        overwrite : bool, default=False
            Whether to replace a Zarr that lies there, by whomever it was made.
        layout : {"maps", "voxels"}, default="maps"
            ``stat_map`` on ``(image, x, y, z)`` in chunks of one image, or ``(image, voxel)`` in chunks of 16
            images, which is what an analysis over all images reads fastest.
        mask_img : path, image or xarray.DataArray, optional
            For ``voxels``: which; on the lattice of the images.
        fill : float, default=0.0
            For ``voxels``: what stands for voxels outside an image's field of view and for values that are not
            finite.
        join, on_mismatch : str
            As for `DatasetFormat.build`. The box of a Zarr is fixed when it is made; an image that reaches out
            of it later is a mismatch.
        storage_options : dict, optional
            For a remote `url`.
        executor : concurrent.futures.Executor, optional
            Runs the tasks, one per shard; else threads.
        max_workers : int, default=4
            How many shards are in work, and so in memory, at once.
        progress : bool or callable, optional
            True draws a bar; a callable gets each `nvframe.types.FetchEvent`.

        Returns
        -------
        str
            `url`.

        Raises
        ------
        StorageError
            If something else lies at `url`, it cannot be written, or another call is writing there.
        GridMismatchError
            If the images do not lie on one lattice, or not on that of the Zarr.
        ValueError
            For a `layout` that does not exist or has no mask, a Zarr of another layout or mask, or a frame
            without images.

        Warns
        -----
        PartialResultWarning
            If images could not be written: they are among the frame's failures, and missing in the Zarr.
        """
        if layout not in LAYOUTS or (layout == "voxels") != (mask_img is not None):
            raise ValueError(
                f"layout must be 'maps', or 'voxels' with a mask_img; got {layout!r} "
                + ("without one" if mask_img is None else "with one")
            )
        from nvframe.results.zarr.store import Cube

        options = current_options()
        target = Target.at(str(url), options_for(str(url), storage_options))
        with target.claimed():
            cube = Cube(target, anew=overwrite)
            plan = cube.plan()
            if plan is not None and plan.layout != layout:
                raise ValueError(f"{url} has layout={plan.layout!r}: write the other layout to another url")
            voxels = _voxels(mask_img, fill, plan)
            built = _built(frame_view, plan, voxels, join, on_mismatch)
            known = None if plan is None else cube.known()
            plan = plan or _plan(built, voxels, fill)
            columns = _columns(built, frame_view, voxels)
            rows, stored, failures = _planned(cube, plan, known, built, columns, frame_view)
            positions = None if voxels is None else voxels.positions()
            shards = shards_of(rows, stored, frame_view.storage, plan.lattice, positions, fill)
            failures += filled(
                target,
                shards,
                cube.note,
                executor=executor or options.executor,
                max_workers=max_workers or options.max_workers or _WORKERS,
                progress=options.progress if progress is None else progress,
            )
            cube.describe()
        _report(failures, frame_view)
        return str(url)


def _voxels(mask_img: Any, fill: float, plan: Plan | None) -> Voxels | None:
    """Return the voxels of the mask; ValueError if the Zarr was made with another one."""
    if mask_img is None:
        return None
    from nvframe.results.masking import mask_voxels

    voxels = mask_voxels(mask_img, None if plan is None else plan.lattice)
    if plan is not None and _digest(voxels, fill) != plan.mask:
        raise ValueError("the Zarr was made with another mask_img or fill: write to another url")
    return voxels


def _digest(voxels: Voxels, fill: float) -> str:
    return hashlib.sha256(voxels.index.astype("<i8").tobytes() + str(float(fill)).encode()).hexdigest()


def _plan(built: Built, voxels: Voxels | None, fill: float) -> Plan:
    from nvframe.results.zarr.store import Plan

    if voxels is None:
        return Plan("maps", built.lattice)
    return Plan("voxels", built.lattice, _digest(voxels, fill))


def _built(
    frame_view: FrameView, plan: Plan | None, voxels: Voxels | None, join: str, on_mismatch: str
) -> Built:
    from nvframe.results.dataset import build_dataset, rows_of

    onto = _onto(plan, voxels)
    return build_dataset(rows_of(frame_view), frame_view.failures, join, on_mismatch, "float32", onto)


def _onto(plan: Plan | None, voxels: Voxels | None) -> Onto | None:
    """Return the lattice that images must lie on: the mask's, or that of the Zarr that grows."""
    from nvframe.results.dataset import Onto
    from nvframe.results.lattice import resample_hint

    if voxels is not None:
        return Onto(voxels.lattice, False, resample_hint("<the mask>"))
    if plan is None:
        return None
    anew = "write all images anew with overwrite=True, leave it out with on_mismatch='drop', or "
    return Onto(plan.lattice, True, anew + resample_hint("<nvframe.to_nifti(xr.open_zarr(url).stat_map[0])>"))


def _columns(built: Built, frame_view: FrameView, voxels: Voxels | None) -> xr.Dataset:
    """Return everything but the maps."""
    import numpy as np

    from nvframe.results.dataset import annotated
    from nvframe.results.lattice import FIELD_OF_VIEW

    dataset = annotated(built, frame_view).drop_vars(DATA)
    source = np.full(len(built.kept), frame_view.source, dtype=object)
    dataset = dataset.assign_coords(source=("image", source, {}))
    if voxels is None:
        return dataset
    boxes = np.stack([dataset[name].values for name in FIELD_OF_VIEW], axis=1)
    where: dict[str, Any] = {
        name: ("voxel", column, dataset[name].attrs)
        for name, column in zip("xyz", voxels.mm().T, strict=True)
    }
    coverage = ("image", voxels.coverage(boxes), {"long_name": "share of the mask inside the field of view"})
    return dataset.drop_vars(["x", "y", "z"]).assign_coords(**where, coverage=coverage)


def _planned(
    cube: Cube, plan: Plan, known: xr.Dataset | None, built: Built, columns: xr.Dataset, frame_view: FrameView
) -> tuple[list[Row], list[bool], list[Failure]]:
    """Give each image its row in the Zarr, which is made or grows for it.

    Returns those that may be written, which rows of the Zarr hold their image already, and what stays out.
    """
    keys = _keys(columns)
    numbers = {key: number for number, key in enumerate(_keys(known) if known is not None else ())}
    first: dict[tuple[str, str, str], int] = {}  # an image may stand in a frame twice
    for i, key in enumerate(keys):
        first.setdefault(key, i)
    new = sorted(i for key, i in first.items() if key not in numbers)
    added = columns.isel(image=new)
    if known is None:
        cube.create(plan, added)
    elif new:
        cube.extend(known, added)
    rows, failures, stored = [], [], cube.stored()
    for key, i in first.items():
        asset, number = frame_view.assets[built.kept[i]], numbers.get(key, len(numbers) + bisect_left(new, i))
        if key in numbers and known is not None and str(known["sha256"].values[number]) != asset.sha256:
            if stored[number]:
                failures.append(_other(key, asset, frame_view))
                continue
            cube.renew(number, columns.isel(image=[i]))
        rows.append(Row(number, asset, built.places[i], key[2], key[1]))
    return rows, stored, failures


def _keys(columns: xr.Dataset) -> list[tuple[str, str, str]]:
    """Return what tells images from one another: source, collection and id."""
    values = (columns[name].values.tolist() for name in ("source", "collection_id", "id"))
    return [
        (str(source), str(collection), str(image)) for source, collection, image in zip(*values, strict=True)
    ]


def _other(key: tuple[str, str, str], asset: Asset, frame_view: FrameView) -> Failure:
    return Failure(
        "store",
        "zarr",
        key[2],
        key[1],
        f"{frame_view.storage.url}/{asset.key}",
        "StorageError",
        "the Zarr holds another version of this image, which stays: write all anew with overwrite=True",
    )


def _report(failures: Sequence[Failure], frame_view: FrameView) -> None:
    frame_view.failures.extend(failure for failure in failures if failure not in frame_view.failures)
    if failures:
        warn_caller(
            f"{len(failures)} images were not written; the first: {failures[0]}", PartialResultWarning
        )
