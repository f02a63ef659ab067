"""Scenario 2: a meta-analysis of stop-signal studies, the statistics in the user's own hands."""

import matplotlib
import numpy as np
from nilearn import plotting
from nilearn.image import load_img, new_img_like, resample_to_img
from scipy import stats

from nvframe import fetch_neurovault
from nvframe.neurovault import Contains

RIGHT_INFERIOR_FRONTAL = (46, 18, 8)
RIGHT_MOTOR = (40, -22, 56)


def z_from_t(t, dof):
    """Both tails by the small one, so that no strong effect becomes infinite."""
    return np.sign(t) * stats.norm.isf(stats.t.sf(np.abs(t), dof))


def value_at(img, mm):
    i, j, k = np.rint(np.linalg.solve(img.affine, [*mm, 1]))[:3].astype(int)
    return img.get_fdata()[i, j, k]


def test_stop_signal_meta_analysis(literature, data_dir, tmp_path):
    maps = fetch_neurovault(
        max_images=7, map_type="T map", contrast_definition=Contains("succ", "stop", "go")
    )
    assert len(maps.images) == 7
    for meta in maps.images_meta:
        assert meta["map_type"] == "T map"
        assert all(word in meta["contrast_definition"] for word in ("succ", "stop", "go"))

    grid = load_img(maps.images[1])
    z_maps = []
    for path, meta in zip(maps.images, maps.images_meta, strict=True):
        img = resample_to_img(path, grid, force_resample=True, copy_header=True)
        t = img.get_fdata()
        z = z_from_t(t, meta["number_of_subjects"] - 2)
        assert (np.abs(z) <= np.abs(t) + 1e-9).all()  # t has the heavier tails
        assert (z * t >= 0).all()
        z_maps.append(z)
    stouffer = np.sum(z_maps, axis=0) / np.sqrt(len(z_maps))

    assert np.isfinite(stouffer).all()
    meta_analytic = new_img_like(grid, stouffer)
    assert value_at(meta_analytic, RIGHT_INFERIOR_FRONTAL) > 8
    assert abs(value_at(meta_analytic, RIGHT_MOTOR)) < 4

    matplotlib.use("Agg")
    figure = tmp_path / "stouffer.png"
    plotting.plot_stat_map(
        meta_analytic, threshold=5, cut_coords=RIGHT_INFERIOR_FRONTAL, output_file=str(figure)
    )
    picture = matplotlib.image.imread(figure)[..., :3]
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100
