"""Maps that look like brains and are none: blobs at known places inside an ellipsoid, with smooth noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

Box = tuple[tuple[tuple[float, ...], ...], tuple[int, int, int]]
"""Affine and shape of a grid."""


def _box(zooms: tuple[int, int, int], origin: tuple[int, int, int], shape: tuple[int, int, int]) -> Box:
    (x, y, z), (ox, oy, oz) = zooms, origin
    affine = ((x, 0.0, 0.0, ox), (0.0, y, 0.0, oy), (0.0, 0.0, z, oz), (0.0, 0.0, 0.0, 1.0))
    return affine, shape


GRIDS: dict[str, Box] = {
    # FSL stores right to left; SPM's bounding box begins elsewhere; the others run left to right
    "MNI152NLin6Asym-2mm": _box((-2, 2, 2), (90, -126, -72), (91, 109, 91)),
    "SPM-3mm": _box((-3, 3, 3), (78, -112, -70), (53, 63, 52)),
    "RAS-4mm": _box((4, 4, 4), (-90, -126, -72), (46, 55, 46)),
    "RAS-8mm": _box((8, 8, 8), (-90, -126, -72), (24, 28, 24)),
}
"""Grids that real maps come in, and a coarse one for quick tests."""

_CENTRE, _RADII = (0.0, -17.0, 13.0), (70.0, 90.0, 66.0)
_BLOB_MM = 7.0
_NOISE_MM, _NOISE_STEP = 9.0, 12.0
_STEP = 2.0**-6  # values are rounded to it: it hides the platform's last bits, and compresses well
_THRESHOLD = 3.1


@dataclass(frozen=True, slots=True)
class Task:
    """What somebody might do in a scanner, and where that is known to show.

    Attributes
    ----------
    name, contrast, paradigm : str
        Short name, contrast definition, and name in the Cognitive Atlas.
    foci : tuple of (x, y, z)
        Approximate peaks in mm, MNI space.
    words : tuple of str
        What Neurosynth would say about it, strongest first.
    """

    name: str
    contrast: str
    paradigm: str
    foci: tuple[tuple[int, int, int], ...]
    words: tuple[str, ...]


TASKS = (
    Task(
        "motor",
        "right finger tapping > rest",
        "finger tapping task",
        ((-38, -24, 56), (-4, -6, 58), (18, -52, -22)),
        ("motor", "finger", "hand", "movement", "primary motor", "tapping", "sensorimotor"),
    ),
    Task(
        "visual",
        "checkerboard > fixation",
        "visual checkerboard task",
        ((-8, -90, 0), (8, -90, 0)),
        ("visual", "v1", "occipital", "checkerboard", "early visual", "gratings"),
    ),
    Task(
        "auditory",
        "tones > silence",
        "tone monitoring task",
        ((-52, -20, 7), (52, -20, 7)),
        ("auditory", "sound", "tones", "heschl gyrus", "listening", "acoustic"),
    ),
    Task(
        "language",
        "verb generation > rest",
        "verb generation task",
        ((-48, 18, 18), (-56, -42, 14)),
        ("language", "verb", "semantic", "broca", "words", "sentences", "inferior frontal"),
    ),
    Task(
        "emotion",
        "faces > shapes",
        "emotional faces task",
        ((-22, -4, -18), (22, -4, -18), (40, -50, -20)),
        ("emotional", "amygdala", "faces", "fearful", "fusiform", "affective"),
    ),
    Task(
        "default mode",
        "rest > task",
        "rest eyes open",
        ((0, -52, 26), (0, 52, -4), (-46, -66, 32), (46, -66, 32)),
        ("default mode", "posterior cingulate", "medial prefrontal", "resting", "self", "angular"),
    ),
    Task(
        "working memory",
        "2-back > 0-back",
        "n-back task",
        ((-44, 34, 28), (44, 34, 28), (-40, -48, 44), (40, -48, 44)),
        ("working memory", "dorsolateral prefrontal", "n back", "parietal", "load", "maintenance"),
    ),
    Task(
        "reward",
        "gain > loss",
        "monetary incentive delay task",
        ((-10, 10, -6), (10, 10, -6), (0, 46, -8)),
        ("reward", "ventral striatum", "nucleus accumbens", "monetary", "value", "incentive"),
    ),
)

Style = Literal["unthresholded", "thresholded", "roi", "atlas"]


def draw(task: Task, box: Box, style: Style, rng: Any) -> Any:
    """Return a nibabel image of a task on a grid.

    Parameters
    ----------
    task : Task
        Where the blobs go; an atlas shows the foci of all tasks.
    box : (affine, shape)
        The grid; its axes must run along x, y and z, forwards or backwards.
    style : {"unthresholded", "thresholded", "roi", "atlas"}
        What kind of map.
    rng : numpy.random.Generator
        Source of the noise and of how strong each blob is.

    Returns
    -------
    nibabel.Nifti1Image
        float32 statistics, uint8 for a ROI, int16 labels for an atlas.

    Raises
    ------
    ValueError
        If the axes are oblique or permuted.

    Examples
    --------
    >>> import numpy as np
    >>> draw(TASKS[0], GRIDS["RAS-8mm"], "roi", np.random.default_rng(0)).shape
    (24, 28, 24)
    """
    import numpy as np

    affine = np.asarray(box[0], dtype=float)
    axes = _axes_in_mm(affine, box[1])
    data: Any
    if style == "atlas":
        data = np.zeros(box[1], dtype=np.int16)
        for label, focus in enumerate((f for t in TASKS for f in t.foci), start=1):
            data[_blob(axes, focus, 1.0) > 0.5] = label
    elif style == "roi":
        data = np.zeros(box[1], dtype=np.uint8)
        for focus in task.foci:
            data[_blob(axes, focus, 1.0) > 0.5] = 1
    else:
        data = _statistics(task, axes, rng)
        if style == "thresholded":
            data[np.abs(data) < _THRESHOLD] = 0
    data[~_brain(axes)] = 0
    return _as_nifti(data, affine)


def _as_nifti(data: Any, affine: Any) -> Any:
    import nibabel as nib

    nifti_image: Any = nib.Nifti1Image
    img = nifti_image(data, affine)
    img.set_sform(affine, code="mni")
    img.set_qform(affine, code="mni")
    img.header.set_xyzt_units("mm")
    img.header["descrip"] = b"synthetic: nvframe.testing, no measured data"
    return img


def _axes_in_mm(affine: Any, shape: tuple[int, int, int]) -> list[Floats]:
    """Return the coordinates of the voxels along x, y and z."""
    import numpy as np

    zooms = np.diag(affine)[:3]
    if not np.array_equal(affine[:3, :3], np.diag(zooms)) or not zooms.all():
        raise ValueError("a synthetic map needs a grid whose axes run along x, y and z")
    return [(zooms[i] * np.arange(shape[i]) + affine[i, 3]).astype(np.float32) for i in range(3)]


def _outer(x: Floats, y: Floats, z: Floats) -> Floats:
    return x[:, None, None] * y[None, :, None] * z[None, None, :]


def _blob(axes: list[Floats], focus: tuple[int, int, int], height: float) -> Floats:
    """Return a Gaussian, made axis by axis."""
    import numpy as np

    x, y, z = (np.exp(-(((axis - at) / _BLOB_MM) ** 2) / 2) for axis, at in zip(axes, focus, strict=True))
    return _outer(x * np.float32(height), y, z)


def _brain(axes: list[Floats]) -> NDArray[np.bool_]:
    x, y, z = (((axis - c) / r) ** 2 for axis, c, r in zip(axes, _CENTRE, _RADII, strict=True))
    inside: NDArray[np.bool_] = x[:, None, None] + y[None, :, None] + z[None, None, :] <= 1
    return inside


def _statistics(task: Task, axes: list[Floats], rng: Any) -> Floats:
    """Return unit noise with blobs of about 7 standard deviations in it."""
    import numpy as np

    data = _smooth_noise(axes, rng)
    for focus in task.foci:
        data += _blob(axes, focus, float(rng.uniform(5.5, 8.5)))
    rounded: Floats = np.round(data / np.float32(_STEP)) * np.float32(_STEP)
    return rounded


def _smooth_noise(axes: list[Floats], rng: Any) -> Floats:
    """Return noise of unit variance: random weights of broad Gaussians on a coarse lattice."""
    import numpy as np

    spreads = []
    for axis, centre, radius in zip(axes, _CENTRE, _RADII, strict=True):
        knots = np.arange(centre - radius - 2 * _NOISE_STEP, centre + radius + 2 * _NOISE_STEP, _NOISE_STEP)
        spread = np.exp(-(((axis[:, None] - knots) / _NOISE_MM) ** 2) / 2)
        spreads.append(spread / np.sqrt((spread**2).sum(axis=1, keepdims=True) + 1e-6))
    weights = rng.standard_normal([spread.shape[1] for spread in spreads])
    noise: Floats = np.einsum("ijk,xi,yj,zk->xyz", weights, *spreads, optimize=True).astype(np.float32)
    return noise
