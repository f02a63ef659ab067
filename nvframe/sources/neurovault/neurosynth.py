"""Neurosynth's words for a NeuroVault image, as an annotator."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nvframe.errors import AnnotationError
from nvframe.http.client import HttpClient
from nvframe.http.retry import Retry
from nvframe.types import ImageRecord

URL = "https://neurosynth.org"
URL_VARIABLE = "NVFRAME_NEUROSYNTH_URL"


class NeurosynthWords:
    """Weights of Neurosynth's words for a map: its correlation with the meta-analysis of each word.

    Parameters
    ----------
    url : str, optional
        Of the server; else ``NVFRAME_NEUROSYNTH_URL``, else https://neurosynth.org.
    timeout : float, default=10.0
        Seconds to connect and between two reads.
    retry : Retry, optional
        The service is often down, and a map is worth having without its words: one retry by default.

    Notes
    -----
    Yarkoni et al. (2011), Large-scale automated synthesis of human functional neuroimaging data,
    Nature Methods 8:665-670, doi:10.1038/nmeth.1635.

    Examples
    --------
    >>> words = NeurosynthWords("https://neurosynth.org")
    >>> collated = words.collate([{"data": {"values": {"motor": 0.5}}}, None])
    >>> collated["word"][1].tolist(), collated["word_frequencies"][1].tolist()
    (['motor'], [[0.5], [nan]])
    """

    name = "neurosynth-words"
    needs_network = True
    needs_image = False
    sidecar_name = "neurosynth_words_for_image_{id}.json"
    metadata_key = "ns_words"

    def __init__(self, url: str | None = None, timeout: float = 10.0, retry: Retry | None = None) -> None:
        base = url or os.environ.get(URL_VARIABLE) or URL
        self.client = HttpClient(base, timeout, retry or Retry(tries=2))

    def abort(self) -> None:
        """Ask for nothing more: the call was interrupted."""
        self.client.abort()

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def annotate(self, record: ImageRecord, img: Any = None) -> Mapping[str, Any]:
        """Return the service's answer, ``{"data": {"values": {word: weight}}}``."""
        answer = self.client.get_json("/api/decode/", {"neurovault": record.id})
        if not weights(answer):
            raise AnnotationError("Neurosynth has no words for this image")
        found: Mapping[str, Any] = answer
        return found

    def collate(
        self, annotations: Sequence[Mapping[str, Any] | None]
    ) -> Mapping[str, tuple[tuple[str, ...], Any, Mapping[str, Any]]]:
        """Return the (image, word) matrix and its words in alphabetical order; nothing where no words came.

        Parameters
        ----------
        annotations : sequence
            From `annotate`; None where it failed.

        Returns
        -------
        dict
            ``word_frequencies``: float64, NaN in the rows that failed; ``word``: str.
        """
        import numpy as np

        rows = [weights(annotation) for annotation in annotations]
        if not any(rows):
            return {}
        matrix, words = word_matrix(rows)
        matrix[[not row for row in rows]] = np.nan
        attrs = {"long_name": "weight of a word in Neurosynth", "source": URL}
        return {
            "word_frequencies": (("image", "word"), matrix, attrs),
            "word": (("word",), words, {}),
        }


def word_matrix(rows: Sequence[Mapping[str, float]]) -> tuple[Any, Any]:
    """Return (float64 matrix of shape (rows, words), words in alphabetical order); 0 where a row lacks a word.

    Examples
    --------
    >>> matrix, words = word_matrix([{"motor": 0.5}, {"hand": 0.25}])
    >>> words.tolist(), matrix.tolist()
    (['hand', 'motor'], [[0.0, 0.5], [0.25, 0.0]])
    """
    import numpy as np

    words = sorted(set().union(*rows))
    column = {word: j for j, word in enumerate(words)}
    matrix = np.zeros((len(rows), len(words)))
    known: tuple[str, ...] = ()
    columns: list[int] = []
    for i, row in enumerate(rows):
        if tuple(row) != known:  # Neurosynth names the same words in the same order, image after image
            known = tuple(row)
            columns = [column[word] for word in known]
        matrix[i, columns] = list(row.values())
    return matrix, np.array(words)


def are_numbers(values: Iterable[object]) -> bool:
    """Tell whether all values are plain numbers, by their types only: there are thousands per image."""
    return set(map(type, values)) <= {float, int}


def weights(annotation: object) -> dict[str, float]:
    """Return the word weights of a stored or served answer; empty where there are none that can be used."""
    try:
        values = annotation["data"]["values"]  # type: ignore[index]
        if are_numbers(values.values()):
            return dict(values)
        return {str(word): float(weight) for word, weight in values.items()}
    except (AttributeError, KeyError, TypeError, ValueError):
        return {}
