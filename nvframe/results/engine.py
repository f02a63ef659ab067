"""``xr.open_dataset(url, engine="nvframe")``: a stored dataset, wherever fsspec reaches, nilearn's too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from xarray.backends import BackendEntrypoint

from nvframe import layout
from nvframe.cache import Cache
from nvframe.results.dataset import Rows, build_dataset
from nvframe.storage import FsspecStorage, LocalStorage, protocol_of
from nvframe.stored import StoredImage
from nvframe.types import ORIGINAL, Asset, Failure

if TYPE_CHECKING:
    from nvframe.contracts import Storage


class NvframeBackendEntrypoint(BackendEntrypoint):
    """Opens a dataset's directory, such as ``<data_dir>/neurovault``."""

    description = "Open a directory of brain images that nvframe or nilearn stored"
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
            Path or URL of the dataset's directory.
        drop_variables : str or iterable of str, optional
            Names to leave out.
        role : str, optional
            Which asset of each image; else the one that every image has.
        join, on_mismatch
            As for `DatasetFormat.build`.
        storage_options : dict, optional
            For a remote directory.

        Returns
        -------
        xarray.Dataset
            As from ``Frame.to_xarray``.

        Raises
        ------
        FileNotFoundError
            If there is no image.
        ValueError
            If several roles, or none, are common to all images; names them.
        """
        url = str(filename_or_obj)
        local = protocol_of(url) == "local"
        storage: Storage = LocalStorage(url) if local else FsspecStorage(url, **(storage_options or {}))
        cache = Cache(storage)
        stored = [image for cid in cache.collection_ids() for image in cache.images(cid)]
        if not stored:
            raise FileNotFoundError(f"no stored image below {storage.url}")
        present = {image.image_id: _roles(cache, image) for image in stored}
        chosen = role or _common_role(present.values())
        assets = [present[image.image_id].get(chosen) for image in stored]
        pairs = [(image, asset) for image, asset in zip(stored, assets, strict=True) if asset is not None]
        rows = Rows(
            [asset for _, asset in pairs],
            [image.metadata for image, _ in pairs],
            [cache.collection(image.collection_id) or {} for image, _ in pairs],
            storage,
        )
        cache.close()
        failures: list[Failure] = []
        built, _ = build_dataset(rows, failures, join, on_mismatch, "float32")
        return built.drop_vars(
            [drop_variables] if isinstance(drop_variables, str) else list(drop_variables or ())
        )


def _roles(cache: Cache, image: StoredImage) -> dict[str, Asset]:
    found = dict(image.assets)
    for role in (ORIGINAL, layout.RESAMPLED):
        asset = found.get(role) or cache.asset(image, role)
        if asset is not None:
            found[role] = asset
    return found


def _common_role(present: Iterable[dict[str, Asset]]) -> str:
    sets = list(present)
    counts = Counter(role for roles in sets for role in roles)
    common = [role for role, n in counts.items() if n == len(sets)]
    if len(common) != 1:
        has = ", ".join(f"{role!r} ({n} of {len(sets)} images)" for role, n in counts.items())
        raise ValueError(f"say which asset to open with role=: there are {has}")
    return common[0]
