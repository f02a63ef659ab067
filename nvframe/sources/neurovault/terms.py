"""NeuroVault's default terms, and why each is there."""

from __future__ import annotations

from typing import Any

from nvframe.filters import NotEqual, NotIn, NotNull


def basic_collection_terms() -> dict[str, Any]:
    """Return the collection terms that apply where a query gives none: leave out empty collections.

    Returns
    -------
    dict
        A fresh dict, free to edit.

    Examples
    --------
    >>> basic_collection_terms()
    {'number_of_images': NotNull()}
    """
    return {"number_of_images": NotNull()}


def basic_image_terms() -> dict[str, Any]:
    """Return the image terms that apply where a query gives none.

    They leave out images that are not in MNI space, thresholded maps, regions of interest, anatomical
    images, parcellations and atlases.

    Returns
    -------
    dict
        A fresh dict, free to edit.

    Examples
    --------
    >>> terms = basic_image_terms()
    >>> terms.pop("is_thresholded")  # thresholded maps are welcome too
    False
    """
    return {
        "not_mni": False,
        "is_thresholded": False,
        "map_type": NotIn("ROI/mask", "anatomical", "parcellation"),
        "image_type": NotEqual("atlas"),
    }
