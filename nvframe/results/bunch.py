"""nilearn's result: a Bunch of paths, metadata and words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nvframe.errors import warn_caller
from nvframe.types import Failure

if TYPE_CHECKING:
    from nvframe.contracts import FrameView


class BunchFormat:
    """Builds a `sklearn.utils.Bunch` with nilearn's keys, and ``failures``.

    Examples
    --------
    >>> failure_row(Failure("download", "neurovault", "11", "2", "https://x", "DownloadError", "404 Not Found"))
    {'id': 11, 'collection_id': 2, 'stage': 'download', 'url': 'https://x', 'error': 'DownloadError: 404 Not Found'}
    """

    def build(self, frame_view: FrameView, *, vectorize_words: bool = True) -> Any:
        """Return the Bunch.

        Parameters
        ----------
        frame_view : FrameView
            The frame.
        vectorize_words : bool, default=True
            Whether words, if they were fetched, come as ``word_frequencies`` and ``vocabulary``.

        Returns
        -------
        sklearn.utils.Bunch
            ``images``, ``images_meta``, ``collections_meta``, ``description`` and ``failures``; with words
            ``word_frequencies``, float64 of shape (images, words), and ``vocabulary``, an array of str.
        """
        from sklearn.utils import Bunch

        bunch = Bunch(
            images=frame_view.images,
            images_meta=frame_view.images_meta,
            collections_meta=frame_view.collections_meta,
            description=frame_view.description,
        )
        if vectorize_words:
            bunch.update(_words(frame_view))
        are_text = any(isinstance(meta.get("id"), str) for meta in frame_view.images_meta)
        bunch["failures"] = [failure_row(failure, are_text) for failure in frame_view.failures]
        return bunch


def failure_row(failure: Failure, ids_are_text: bool = False) -> dict[str, Any]:
    """Return a failure as plain values, so that a Bunch reloads where nvframe is not installed.

    Ids have the type that they have in ``images_meta``: NeuroVault's are integers.
    """

    def identifier(text: str | None) -> int | str | None:
        is_number = text is not None and text.isascii() and text.isdecimal()
        return int(text) if is_number and not ids_are_text else text  # type: ignore[arg-type]

    return {
        "id": identifier(failure.image_id),
        "collection_id": identifier(failure.collection_id),
        "stage": failure.stage,
        "url": failure.url,
        "error": f"{failure.error_type}: {failure.message}",
    }


def _words(frame_view: FrameView) -> dict[str, Any]:
    import numpy as np

    for annotator in frame_view.annotators:
        if annotator.metadata_key != "ns_words":
            continue
        collated = annotator.collate(frame_view.annotations[annotator.name])
        if "word" not in collated:
            if not any(failure.stage == "annotate" for failure in frame_view.failures):
                warn_caller("no word weight could be loaded", UserWarning)
            return {"word_frequencies": None, "vocabulary": None}
        # In a Bunch a row without words is zeros, as in nilearn; a Dataset tells it from a row of zeros.
        weights = collated["word_frequencies"][1]
        return {
            "word_frequencies": np.where(np.isnan(weights), 0.0, weights),
            "vocabulary": collated["word"][1],
        }
    return {}
