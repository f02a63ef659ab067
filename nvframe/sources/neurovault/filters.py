"""NeuroVault's default terms as filters, for queries that switch the defaults off and name them again."""

from __future__ import annotations

from typing import Literal

from nvframe.filters import matches
from nvframe.sources.neurovault.terms import basic_collection_terms, basic_image_terms
from nvframe.types import Metadata


class BasicCollections:
    """Keeps collections that hold images.

    Examples
    --------
    >>> BasicCollections()({"number_of_images": 0})
    False
    """

    level: Literal["collection", "image"] = "collection"

    def __init__(self) -> None:
        self.terms: Metadata = basic_collection_terms()

    def __call__(self, metadata: Metadata) -> bool:
        """Tell whether what `metadata` describes is kept."""
        return matches(self.terms, metadata)


class BasicImages:
    """Keeps unthresholded statistical maps in MNI space.

    Examples
    --------
    >>> BasicImages()({"not_mni": False, "is_thresholded": False, "map_type": "anatomical"})
    False
    """

    level: Literal["collection", "image"] = "image"

    def __init__(self) -> None:
        self.terms: Metadata = basic_image_terms()

    def __call__(self, metadata: Metadata) -> bool:
        """Tell whether what `metadata` describes is kept."""
        return matches(self.terms, metadata)
