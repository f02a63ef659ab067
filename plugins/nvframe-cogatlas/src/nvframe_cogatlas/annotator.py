"""The annotator: fields of one image to terms, terms of many images to a matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nvframe.errors import AnnotationError
from nvframe.types import ImageRecord
from nvframe_cogatlas.terms import stored_terms, terms_in

Collated = Mapping[str, tuple[tuple[str, ...], Any, Mapping[str, Any]]]


class CognitiveAtlas:
    """The Cognitive Atlas terms that an image's own metadata name; no server is asked.

    NeuroVault's ``cognitive_paradigm_cogatlas``, ``cognitive_contrast_cogatlas`` and their ``_id`` are read,
    and of a BIDS sidecar ``CogAtlasID`` with ``TaskName``.

    Notes
    -----
    Poldrack et al. (2011), The Cognitive Atlas: toward a knowledge foundation for cognitive neuroscience,
    Frontiers in Neuroinformatics 5:17, doi:10.3389/fninf.2011.00017.

    Examples
    --------
    >>> from nvframe.types import ImageRecord
    >>> fields = {"cognitive_paradigm_cogatlas": "n-back task", "cognitive_paradigm_cogatlas_id": "tsk_4a57abb949bcd"}
    >>> cogatlas = CognitiveAtlas()
    >>> n_back = cogatlas.annotate(ImageRecord("neurovault", "1", "2", "", fields))
    >>> n_back
    {'terms': [{'kind': 'task', 'id': 'tsk_4a57abb949bcd', 'name': 'n-back task'}]}
    >>> collated = cogatlas.collate([n_back, None])
    >>> collated["cogatlas_term"][1].tolist(), collated["cogatlas"][1].tolist()
    (['n-back task'], [[1.0], [nan]])
    """

    name = "cogatlas"
    needs_network = False
    needs_image = False
    sidecar_name = "cogatlas_for_image_{id}.json"
    metadata_key = "cogatlas"

    def annotate(self, record: ImageRecord, img: Any = None) -> Mapping[str, Any]:
        """Return ``{"terms": [{"kind": "task" | "contrast", "id": …, "name": …}]}``.

        Parameters
        ----------
        record : ImageRecord
            The image.
        img : object, optional
            Not looked at.

        Raises
        ------
        AnnotationError
            If the metadata name no term.
        """
        terms = terms_in(record.metadata)
        if not terms:
            raise AnnotationError("the metadata name no task or contrast of the Cognitive Atlas")
        return {"terms": [term.to_json() for term in terms]}

    def collate(self, annotations: Sequence[Mapping[str, Any] | None]) -> Collated:
        """Return the (image, term) matrix and its vocabulary; nothing where no image has a term.

        Parameters
        ----------
        annotations : sequence
            From `annotate`; None where it failed.

        Returns
        -------
        dict
            ``cogatlas``: float32, 1 where an image has a term, else 0, NaN in the rows that failed;
            ``cogatlas_term``: names, in alphabetical order; ``cogatlas_id`` and ``cogatlas_kind`` beside them.
        """
        import numpy as np

        rows = [stored_terms(annotation) for annotation in annotations]
        vocabulary = sorted(set().union(*rows))
        if not vocabulary:
            return {}
        column = {term: j for j, term in enumerate(vocabulary)}
        matrix = np.zeros((len(rows), len(vocabulary)), dtype=np.float32)
        for i, row in enumerate(rows):
            matrix[i, [column[term] for term in row]] = 1
        matrix[[not row for row in rows]] = np.nan
        attrs = {"long_name": "has this Cognitive Atlas term", "source": "https://www.cognitiveatlas.org"}
        return {
            "cogatlas": (("image", "cogatlas_term"), matrix, attrs),
            "cogatlas_term": (("cogatlas_term",), _texts(term.name for term in vocabulary), {}),
            "cogatlas_id": (("cogatlas_term",), _texts(term.id for term in vocabulary), {}),
            "cogatlas_kind": (("cogatlas_term",), _texts(term.kind for term in vocabulary), {}),
        }


def _texts(values: Any) -> Any:
    import numpy as np

    return np.array(list(values), dtype=np.str_)
