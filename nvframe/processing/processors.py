"""Image processors: resample, smooth, mask, t to z. Parameters are checked when one is made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from nvframe.errors import ProcessingError, Skip
from nvframe.imaging.grids import STD_AFFINE
from nvframe.imaging.images import as_image, digest, inside, like
from nvframe.imaging.resample import checked_order, resample
from nvframe.processing.inputs import degrees_of_freedom, resampled, target_grid, volume
from nvframe.processing.tails import t_to_z
from nvframe.types import ImageRecord, Processed


@dataclass(frozen=True, slots=True, eq=False)
class Resample:
    """Put an image onto another grid.

    Parameters
    ----------
    target : str, path, image or array_like, default="MNI152NLin6Asym-2mm"
        The name of a grid (`nvframe.imaging.grids.GRIDS`), a NIfTI file or image whose grid to take, or an
        affine, 4 × 4 or 3 × 3. Only affine and shape are kept.
    interpolation : {"continuous", "linear", "nearest", "auto"}, default="continuous"
        ``auto`` takes the nearest voxel for masks, parcellations and integer labels, else ``continuous``.
    target_shape : sequence of int or None, default=None
        Instead of the target's own; ``None`` with an affine reaches as far as the image.

    Examples
    --------
    >>> Resample("MNI152NLin6Asym-3mm", interpolation="auto").target_shape
    (61, 73, 61)
    """

    version: ClassVar[str] = "1"

    target: Any = "MNI152NLin6Asym-2mm"
    interpolation: str = "continuous"
    target_shape: Sequence[int] | None = None

    def __post_init__(self) -> None:
        _check_interpolation(self.interpolation)
        affine, shape = target_grid(self.target)
        if self.target_shape is not None:
            shape = tuple(int(n) for n in self.target_shape)
            if len(shape) != 3 or min(shape) < 1:
                raise ValueError(f"target_shape must be three positive numbers, not {self.target_shape!r}")
            if len(affine) == 3:
                raise ValueError("target_shape needs a 4 × 4 affine: a 3 × 3 one has no origin to count from")
        object.__setattr__(self, "target", affine)
        object.__setattr__(self, "target_shape", shape)

    def __call__(self, img: Any, record: ImageRecord) -> Any:
        """Return `img` on the target grid."""
        return resampled(img, record, self.target, self.target_shape, self.interpolation)

    def parameters(self) -> dict[str, Any]:
        """Return what tells this processor's results from another's, as JSON values."""
        shape = None if self.target_shape is None else list(self.target_shape)
        affine = [list(row) for row in self.target]
        return {"target_affine": affine, "target_shape": shape, "interpolation": self.interpolation}


@dataclass(frozen=True, slots=True)
class Resample3mm:
    """Put an image where ``fetch_neurovault(resample=True)`` puts it: 3 mm, as far as the image reaches.

    Parameters
    ----------
    interpolation : {"continuous", "linear", "nearest", "auto"}, default="continuous"
        As in `Resample`.

    Examples
    --------
    >>> Resample3mm().parameters()
    {'interpolation': 'continuous'}
    """

    version: ClassVar[str] = "1"

    interpolation: str = "continuous"

    def __post_init__(self) -> None:
        _check_interpolation(self.interpolation)

    def __call__(self, img: Any, record: ImageRecord) -> Any:
        """Return `img` on the 3 mm lattice."""
        return resampled(img, record, STD_AFFINE, None, self.interpolation)

    def parameters(self) -> dict[str, Any]:
        """Return what tells this processor's results from another's, as JSON values."""
        return {"interpolation": self.interpolation}


@dataclass(frozen=True, slots=True)
class Smooth:
    """Smooth an image with a Gaussian, as ``nilearn.image.smooth_img`` does; NaN and infinities become 0.

    Parameters
    ----------
    fwhm : float or sequence of float
        Full width at half maximum in mm, for all axes or for each; 0 leaves an axis as it is.

    Examples
    --------
    >>> Smooth(6).parameters()
    {'fwhm': [6.0, 6.0, 6.0]}
    """

    version: ClassVar[str] = "1"

    fwhm: float | Sequence[float]

    def __post_init__(self) -> None:
        single = isinstance(self.fwhm, int | float)
        widths: Sequence[Any] = (self.fwhm,) * 3 if single else tuple(self.fwhm)  # type: ignore[arg-type]
        try:
            widths = tuple(float(width) for width in widths)
        except (TypeError, ValueError):
            widths = ()
        if len(widths) != 3 or not all(math.isfinite(width) and width >= 0 for width in widths):
            raise ValueError(f"fwhm must be one or three numbers of mm, none negative, not {self.fwhm!r}")
        object.__setattr__(self, "fwhm", widths)

    def __call__(self, img: Any, record: ImageRecord) -> Any:
        """Return `img` smoothed."""
        import numpy as np
        from scipy.ndimage import gaussian_filter1d

        data = volume(img, record)
        if data.dtype.kind in "iu":
            data = data.astype(np.float64 if data.dtype.itemsize == 8 else np.float32)
        data = np.where(np.isfinite(data), data, data.dtype.type(0))
        voxel = np.sqrt((img.affine[:3, :3] ** 2).sum(axis=0))
        sigmas = np.asarray(self.fwhm) / (math.sqrt(8 * math.log(2)) * voxel)
        for axis, sigma in enumerate(sigmas):
            if sigma > 0:
                gaussian_filter1d(data, sigma, output=data, axis=axis)
        return like(img, data, img.affine)

    def parameters(self) -> dict[str, Any]:
        """Return what tells this processor's results from another's, as JSON values."""
        return {"fwhm": list(self.fwhm)}  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """Set an image to 0 outside a mask, and where it is not finite.

    Parameters
    ----------
    mask_img : path or image
        Inside is what is not 0. It is read here and travels with the processor; on an image with another
        grid it is resampled to the nearest voxel.

    Examples
    --------
    >>> import nibabel, numpy
    >>> mask = Mask(nibabel.Nifti1Image(numpy.ones((2, 2, 2), "uint8"), numpy.eye(4)))
    >>> sorted(mask.parameters()["mask_img"])
    ['sha256']
    """

    version: ClassVar[str] = "1"

    mask_img: Any
    _sha256: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        import nibabel
        import numpy as np

        source = as_image(self.mask_img)
        chosen = np.asfortranarray(inside(source.dataobj)).view(np.uint8)
        image: Any = nibabel.Nifti1Image  # nibabel is not typed
        object.__setattr__(self, "mask_img", image(chosen, source.affine))
        object.__setattr__(self, "_sha256", digest(chosen, source.affine))

    def __call__(self, img: Any, record: ImageRecord) -> Any:
        """Return `img` with 0 outside the mask."""
        import numpy as np

        data = volume(img, record)
        mask = resample(self.mask_img, img.affine, img.shape[:3], "nearest")
        kept = np.asarray(mask.dataobj) != 0
        if not kept.any():
            raise ProcessingError("the mask lies wholly outside the image")
        kept = kept.reshape(*kept.shape, *(1,) * (data.ndim - 3))
        if data.dtype.kind == "f":
            kept = kept & np.isfinite(data)
        return like(img, np.where(kept, data, data.dtype.type(0)), img.affine)

    def parameters(self) -> dict[str, Any]:
        """Return what tells this processor's results from another's, as JSON values."""
        return {"mask_img": {"sha256": self._sha256}}


@dataclass(frozen=True, slots=True)
class TToZ:
    """Turn a T map into the Z map with the same tail probabilities; other maps are skipped.

    Degrees of freedom are the metadata's ``statistic_parameters``, else ``number_of_subjects`` − 1.

    Examples
    --------
    >>> TToZ().parameters()
    {}
    """

    version: ClassVar[str] = "1"

    def __call__(self, img: Any, record: ImageRecord) -> Processed:
        """Return the Z map and its new ``map_type``."""
        import numpy as np

        map_type = record.metadata.get("map_type")
        if str(map_type).strip().lower() not in ("t map", "t"):
            raise Skip(f"map_type is {map_type!r}, not 'T map'")
        data = volume(img, record)
        dtype = np.float32 if data.dtype == np.float32 else np.float64
        z = t_to_z(data, degrees_of_freedom(record)).astype(dtype)
        result = like(img, z, img.affine)
        result.header.set_data_dtype(dtype)  # an integer on disk would round z
        return Processed(result, {"map_type": "Z map"})

    def parameters(self) -> dict[str, Any]:
        """Return what tells this processor's results from another's, as JSON values."""
        return {}


def _check_interpolation(interpolation: str) -> None:
    if interpolation != "auto":
        checked_order(interpolation)
