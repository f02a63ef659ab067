"""``xr.open_dataset(url, engine="nvframe")``: what is stored, wherever fsspec reaches, nilearn's too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from typing import TYPE_CHECKING, Any

from xarray.backends import BackendEntrypoint

from nvframe.cache import layout
from nvframe.cache.listing import Cache
from nvframe.cache.stored_image import StoredImage, as_asset, as_assets, as_dict
from nvframe.errors import PartialResultWarning, warn_caller
from nvframe.results.dataset import Rows, build_dataset
from nvframe.storage.plugin import options_for, storage_at
from nvframe.types import ORIGINAL, Asset, Failure
from nvframe.urls import strip_credentials

if TYPE_CHECKING:
    from nvframe.contracts import Storage


class NvframeBackendEntrypoint(BackendEntrypoint):
    """Opens a dataset's directory, such as ``<data_dir>/neurovault``, or a Zarr of its maps."""

    description = (
        "Open a directory of brain images that nvframe or nilearn stored, or a Zarr that nvframe wrote"
    )
    open_dataset_parameters = (
        "filename_or_obj",
        "drop_variables",
        "role",
        "join",
        "on_mismatch",
        "storage_options",
    )

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        role: str | None = None,
        join: str = "outer",
        on_mismatch: str = "raise",
        storage_options: dict[str, Any] | None = None,
    ) -> Any:
        """Return the Dataset.

        Parameters
        ----------
        filename_or_obj : str or PathLike
            Path or URL of the dataset's directory, or of a Zarr, whose name ends in ``.zarr``.
        drop_variables : str or iterable of str, optional
            Names to leave out.
        role : str, optional
            Which asset of each image; else the one that every image has.
        join, on_mismatch
            As for `DatasetFormat.build`; these three are for directories.
        storage_options : dict, optional
            For a remote directory or Zarr.

        Returns
        -------
        xarray.Dataset
            As from ``Frame.to_xarray``; of a Zarr as from ``xarray.open_zarr(url, chunks=None)``.

        Raises
        ------
        FileNotFoundError
            If there is no image, or no Zarr.
        ValueError
            If several roles, or none, are common to all images, or no image has `role`; names them. Or for one of
            the three with a Zarr.

        Warns
        -----
        PartialResultWarning
            If stored images could not be taken in: without that role, of another shape, with a damaged sidecar.
        """
        url = str(filename_or_obj)
        if url.rstrip("/").endswith(".zarr"):
            if (role, join, on_mismatch) != (None, "outer", "raise"):
                raise ValueError(
                    f"{strip_credentials(url)} is a Zarr: role, join and on_mismatch are for directories of files"
                )
            dataset = _of_zarr(url, storage_options)
        else:
            dataset = _of_files(storage_at(url, storage_options), role, join, on_mismatch)
        unwanted = [drop_variables] if isinstance(drop_variables, str) else list(drop_variables or ())
        return dataset.drop_vars(unwanted, errors="ignore")


def _of_zarr(url: str, storage_options: dict[str, Any] | None) -> Any:
    from nvframe.results.zarr.open import open_zarr
    from nvframe.storage.target import Target

    return open_zarr(Target.at(url, options_for(url, storage_options)))


def _of_files(storage: Storage, role: str | None, join: str, on_mismatch: str) -> Any:
    with closing(Cache(storage)) as cache:
        return _of_cache(cache, storage, role, join, on_mismatch)


def _of_cache(cache: Cache, storage: Storage, role: str | None, join: str, on_mismatch: str) -> Any:
    stored = [image for cid in cache.collection_ids() for image in cache.images(cid)]
    if not stored:
        raise FileNotFoundError(f"no stored image below {storage.url}")
    present = [_roles(cache, image) for image in stored]
    chosen = _common_role(present) if role is None else _known_role(role, present)
    pairs = [(image, roles[chosen]) for image, roles in zip(stored, present, strict=True) if chosen in roles]
    rows = Rows(
        [asset for _, asset in pairs],
        [as_dict(image.metadata) | dict(asset.metadata) for image, asset in pairs],
        [cache.collection(image.collection_id) or {} for image, _ in pairs],
        storage,
    )
    without = [image for image, roles in zip(stored, present, strict=True) if chosen not in roles]
    lost = [*cache.failures, *(_without(image, chosen, storage) for image in without)]
    built = build_dataset(rows, lost, join, on_mismatch, "float32")
    if lost:
        total = len(stored) + len(cache.failures)
        warn_caller(
            f"{len(lost)} of {total} stored images are not in the Dataset; the first: {lost[0]}",
            PartialResultWarning,
        )
    built.dataset.encoding["source"] = storage.url  # xarray would note it with user and password
    return built.dataset


def _without(image: StoredImage, role: str, storage: Storage) -> Failure:
    return Failure(
        "open",
        "xarray",
        image.id,
        image.collection_id,
        storage.url,
        "FileNotFoundError",
        f"it has no stored {role!r}",
    )


def _roles(cache: Cache, image: StoredImage) -> dict[str, Asset]:
    found = as_assets(image.assets)
    for role in (ORIGINAL, layout.RESAMPLED):
        asset = found.get(role) or cache.asset(image, role)
        if asset is not None:
            found[role] = as_asset(asset)
    return found


def _known_role(role: str, present: Iterable[dict[str, Asset]]) -> str:
    sets = list(present)
    if not any(role in roles for roles in sets):
        raise ValueError(f"no image has a stored {role!r}: there are {_choices(sets)}")
    return role


def _common_role(present: Iterable[dict[str, Asset]]) -> str:
    sets = list(present)
    counts = Counter(role for roles in sets for role in roles)
    common = [role for role, n in counts.items() if n == len(sets)]
    if len(common) != 1:
        raise ValueError(f"say which asset to open with role=: there are {_choices(sets)}")
    return common[0]


def _choices(present: list[dict[str, Asset]]) -> str:
    counts = Counter(role for roles in present for role in roles)
    return ", ".join(f"{role!r} ({n} of {len(present)} images)" for role, n in counts.items()) or "none"
