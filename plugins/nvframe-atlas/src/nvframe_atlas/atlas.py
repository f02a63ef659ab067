"""An atlas, and what an image's values are in its regions."""

from __future__ import annotations

from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

from nvframe.errors import ProcessingError
from nvframe.imaging import nifti
from nvframe.imaging.images import digest
from nvframe.imaging.resample import resample
from nvframe_atlas.names import companion_of, region_names

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Grid = tuple[bytes, tuple[int, ...]]


class Atlas:
    """An atlas of labels (3-D whole numbers, 0 is not a region) or of probabilistic maps (4-D).

    It is the atlas that is put onto an image's grid, never the image onto the atlas': labels by the nearest
    voxel, maps linearly. Values equal those of nilearn's ``NiftiLabelsMasker`` and ``NiftiMapsMasker`` with
    ``resampling_target="data"``: means over a label's voxels; for maps, their least-squares fit to the image.
    NaN and infinities in an image count as 0, as there.

    Parameters
    ----------
    source : path, URL or image
        The atlas.
    names : sequence, mapping, path or None, default=None
        Names of the regions: see `nvframe_atlas.names.region_names`. None looks for a table beside the atlas,
        with its name and the ending ``.tsv`` or ``.csv``; without one, labels are named by their numbers.

    Attributes
    ----------
    names : list of str
        One for each region, in the order of the labels or maps.

    Raises
    ------
    ValueError
        If it is not an atlas, or the names do not fit it.

    Examples
    --------
    >>> import nibabel, numpy
    >>> labels = numpy.array([0, 1, 1, 2], dtype="uint8").reshape(1, 1, 4)
    >>> atlas = Atlas(nibabel.Nifti1Image(labels, numpy.eye(4)), names=["left", "right"])
    >>> values = numpy.array([9.0, 1.0, 3.0, 5.0]).reshape(1, 1, 4)
    >>> dict(zip(atlas.names, atlas.values(nibabel.Nifti1Image(values, numpy.eye(4))).tolist()))
    {'left': 2.0, 'right': 5.0}
    """

    def __init__(self, source: Any, names: Any = None) -> None:
        import numpy as np

        self.img = _opened(source)
        data = np.asanyarray(self.img.dataobj)
        self._is_maps = data.ndim == 4 and data.shape[3] > 1
        self._labels = np.arange(data.shape[3]) if self._is_maps else _labels_in(data)
        self.names = region_names(names or companion_of(source), self._labels.tolist(), self._is_maps)
        self.sha256 = digest(data, self.img.affine)
        self._latest: tuple[Grid, Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_latest": None}

    def values(self, img: Any) -> NDArray[Any]:
        """Return one value per region.

        Parameters
        ----------
        img : nibabel.spatialimages.SpatialImage
            One volume.

        Returns
        -------
        numpy.ndarray of shape (regions,)
            float64; NaN for a region without a voxel in the image's field of view.

        Raises
        ------
        ProcessingError
            If the image is not a volume of real numbers, or no region lies in its field of view.
        """
        import numpy as np

        data = np.asanyarray(img.dataobj)
        if data.ndim < 3 or any(n != 1 for n in data.shape[3:]) or data.dtype.kind not in "iufb":
            raise ProcessingError(f"an image of shape {data.shape} and type {data.dtype} is not one volume")
        volume = np.nan_to_num(data.reshape(data.shape[:3]).astype(np.float64), posinf=0, neginf=0)
        regions = self._on_grid_of(img)
        values = _fitted(volume, regions) if self._is_maps else _means(volume, regions, len(self._labels))
        if np.isnan(values).all():
            raise ProcessingError("no region of the atlas lies in the image's field of view")
        return values

    def _on_grid_of(self, img: Any) -> Any:
        """Return the atlas on an image's grid; the latest is kept, as images often share one."""
        import numpy as np

        grid = (np.asarray(img.affine, dtype=float).tobytes(), tuple(img.shape[:3]))
        latest = self._latest
        if latest is None or latest[0] != grid:
            kind = "linear" if self._is_maps else "nearest"
            try:
                made = np.asanyarray(resample(self.img, img.affine, img.shape[:3], kind).dataobj)
            except ProcessingError as error:
                raise ProcessingError(f"the atlas cannot be put onto the image's grid: {error}") from error
            made = np.nan_to_num(made)
            latest = self._latest = (grid, made if self._is_maps else _numbered(made, self._labels))
        return latest[1]


def _opened(source: Any) -> Any:
    """Return an image, read if it is a path or URL."""
    if isinstance(source, str | PathLike):
        import fsspec

        with fsspec.open(fspath(source), "rb") as file:
            source = nifti.read(file.read())
    if not (hasattr(source, "dataobj") and hasattr(source, "affine")):
        raise ValueError(f"{source!r:.160} is not an atlas: give a NIfTI file or an image")
    return source


def _labels_in(data: Any) -> Any:
    import numpy as np

    if data.ndim < 3 or any(n != 1 for n in data.shape[3:]):
        raise ValueError(
            f"an image of shape {data.shape} is not an atlas: labels have three dimensions, maps four"
        )
    labels = np.unique(np.nan_to_num(data))
    if data.dtype.kind not in "iufb" or (labels != np.round(labels)).any():
        raise ValueError("a 3-D atlas must hold whole numbers, one for each region")
    labels = labels[labels != 0].astype(int)
    if not labels.size:
        raise ValueError("the atlas is 0 everywhere: it has no region")
    return labels


def _numbered(data: Any, labels: NDArray[Any]) -> NDArray[Any]:
    """Return each voxel's region as its number among the labels, from 1 on; 0 for none."""
    import numpy as np

    known = np.concatenate([[0], labels])
    order = np.argsort(known)  # a label may be negative
    numbers: NDArray[Any] = order[np.searchsorted(known, data.ravel(), sorter=order)]
    return numbers


def _means(volume: Any, numbers: Any, regions: int) -> NDArray[Any]:
    """Return the mean over the voxels of each region; NaN for one without any."""
    import numpy as np

    sums, counts = (np.bincount(numbers, of, regions + 1)[1:] for of in (volume.ravel(), None))
    means: NDArray[Any] = np.divide(sums, counts, out=np.full(regions, np.nan), where=counts > 0)
    return means


def _fitted(volume: Any, regions: Any) -> NDArray[Any]:
    """Return the weights of the maps whose sum comes nearest to the volume."""
    import numpy as np
    from scipy import linalg

    inside = regions.any(axis=3)  # elsewhere nothing can be fitted
    values = linalg.lstsq(regions[inside].astype(np.float64), volume[inside])[0] if inside.any() else None
    seen = regions.any(axis=(0, 1, 2))
    fitted: NDArray[Any] = np.where(seen, values if values is not None else np.nan, np.nan)
    return fitted
