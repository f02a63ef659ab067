"""What of a stored image a plan can use, and so what is left to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nvframe.cache import layout
from nvframe.cache.stored_image import RecordedAsset, StoredImage, as_asset, as_assets
from nvframe.pipeline.task import Outcome, Task, WorkPlan
from nvframe.types import ORIGINAL, Asset, CollectionRecord, ImageRecord

if TYPE_CHECKING:
    from nvframe.cache.listing import Cache
    from nvframe.pipeline.plan import Mode

Found = Task | Outcome
"""An image to bring to the wanted state, or one that is in it."""


class Reuse:
    """Compares what storage holds with what a plan wants.

    Parameters
    ----------
    plan : WorkPlan
        What is wanted.
    cache : Cache
        What storage holds.
    mode : str
        Whether what is stored counts.
    """

    def __init__(self, plan: WorkPlan, cache: Cache, mode: Mode) -> None:
        self._plan = plan
        self._cache = cache
        self._mode = mode

    def task(self, record: ImageRecord) -> Task:
        """Return the task for an image that the source described; reuses what is stored, as the mode allows."""
        stored = self._cache.image(record.collection_id, record.id)
        if stored is None:
            return Task(record, stale=self._files(record))
        moved = stored.metadata.get("modify_date") != record.metadata.get("modify_date")
        if self._mode == "overwrite" or (self._mode == "update" and moved):
            return Task(record, previous=True, recorded=as_assets(stored.assets), stale=self._files(record))
        return self._reusing(record, stored)

    def at_hand(self, stored: StoredImage) -> Found | None:
        """Return what makes of a stored image what is wanted; None where that takes a server."""
        wanted = None if self._plan.annotators else self._sound(stored)
        if wanted is not None:
            return Outcome(stored, wanted)
        task = self._reusing(stored.record(self._plan.source.name), stored)
        at_hand = self._plan.role in task.assets or (self._plan.steps and ORIGINAL in task.assets)
        return task if at_hand else None

    def is_complete(self, collection: CollectionRecord) -> bool:
        """Tell whether storage holds all of a collection, so that it need not be listed."""
        promised = collection.metadata.get("number_of_images")
        if self._mode not in ("download_new", "offline") or not isinstance(promised, int) or not promised:
            return False
        images = self._cache.images(collection.id)
        return sum(self.at_hand(each) is not None for each in images) >= promised

    def _reusing(self, record: ImageRecord, stored: StoredImage) -> Task:
        assets = self._sound_assets(stored)
        annotated = self._annotated(stored, assets.get(self._plan.role))
        return Task(record, assets, annotated, previous=True, recorded=as_assets(stored.assets))

    def _files(self, record: ImageRecord) -> tuple[str, ...]:
        """Return the keys of the files that would be believed without a record."""
        present = self._cache.entries(record.collection_id)
        keys = (
            layout.asset_key(record.collection_id, record.id, role) for role in (ORIGINAL, layout.RESAMPLED)
        )
        return tuple(key for key in keys if key in present)

    def _sound_assets(self, stored: StoredImage) -> dict[str, Asset]:
        """Return the stored assets that this plan can use; a processed one only if its whole chain is the same."""
        wanted = self._sound(stored)
        if wanted is not None:
            return {self._plan.role: as_asset(wanted)}  # nothing has to be made, so nothing else is looked at
        assets = as_assets(stored.assets)
        assets.pop(self._plan.role, None)
        original = self._cache.asset(stored, ORIGINAL)
        return assets if original is None else {**assets, ORIGINAL: as_asset(original)}

    def _sound(self, stored: StoredImage) -> Asset | RecordedAsset | None:
        """Return the wanted asset, if it is stored and made as this plan would make it."""
        wanted = self._cache.asset(stored, self._plan.role)
        if wanted is None or (self._plan.steps and not self._is_current(stored, as_asset(wanted))):
            return None
        return wanted

    def _is_current(self, stored: StoredImage, asset: Asset) -> bool:
        if not asset.chain:
            return True  # nilearn's own, taken as made with its defaults
        original = self._cache.asset(stored, ORIGINAL)
        same_source = original is None or as_asset(original).sha256 == asset.chain[0]
        return same_source and asset.chain[1:] == self._plan.identities

    def _annotated(self, stored: StoredImage, asset: Asset | None) -> frozenset[str]:
        if not self._plan.annotators:
            return frozenset()
        return frozenset(
            name
            for name, file in self._plan.annotation_names(asset).items()
            if self._cache.has_annotation(stored.collection_id, stored.id, file)
        )
