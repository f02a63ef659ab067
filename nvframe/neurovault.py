"""Stands in for ``nilearn.datasets.neurovault``: the same names, the same signatures, the same results.

Change one import: ``from nvframe import neurovault``, or ``from nvframe import fetch_neurovault``.
"""

from __future__ import annotations

import difflib
import inspect
import logging
import numbers
from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nvframe import filters
from nvframe.console import log_to_console
from nvframe.errors import warn_caller
from nvframe.filters import (
    Contains,
    GreaterOrEqual,
    GreaterThan,
    IsIn,
    IsNull,
    LessOrEqual,
    LessThan,
    NotContains,
    NotEqual,
    NotIn,
    NotNull,
    Pattern,
    ResultFilter,
)
from nvframe.frame import fetch
from nvframe.sources.neurovault.neurosynth import are_numbers, word_matrix
from nvframe.sources.neurovault.terms import basic_collection_terms, basic_image_terms
from nvframe.types import parsed_json
from nvframe.urls import is_remote

if TYPE_CHECKING:
    import numpy as np
    from sklearn.utils import Bunch

__all__ = [
    "STD_AFFINE",  # noqa: F822 - made by __getattr__, so that importing this module loads no numpy
    "Contains",
    "GreaterOrEqual",
    "GreaterThan",
    "IsIn",
    "IsNull",
    "LessOrEqual",
    "LessThan",
    "NotContains",
    "NotEqual",
    "NotIn",
    "NotNull",
    "Pattern",
    "ResultFilter",
    "basic_collection_terms",
    "basic_image_terms",
    "fetch_neurovault",
    "fetch_neurovault_auditory_computation_task",
    "fetch_neurovault_ids",
    "neurosynth_words_vectorized",
]

log = logging.getLogger(__name__)

DEFAULT_MAX_IMAGES = 100
AUDITORY_COMPUTATION_IMAGE = 32980
INTERPOLATIONS = ("continuous", "linear", "nearest")

Predicate = Callable[[Mapping[str, Any]], Any]


def __getattr__(name: str) -> Any:
    if name == "STD_AFFINE":
        import numpy as np

        from nvframe.imaging.grids import STD_AFFINE

        return np.array(STD_AFFINE)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def fetch_neurovault(
    max_images: float | None = DEFAULT_MAX_IMAGES,
    collection_terms: Mapping[str, Any] | None = None,
    collection_filter: Predicate = filters.keep_all,
    image_terms: Mapping[str, Any] | None = None,
    image_filter: Predicate = filters.keep_all,
    mode: str = "download_new",
    data_dir: str | PathLike[str] | None = None,
    fetch_neurosynth_words: bool = False,
    resample: bool = False,
    interpolation: str = "continuous",
    vectorize_words: bool = True,
    timeout: float = 10.0,
    verbose: int = 3,
    **kwarg_image_filters: Any,
) -> Bunch:
    """Fetch statistical maps from NeuroVault that meet conditions on their metadata.

    Parameters
    ----------
    max_images : int or None, default=100
        None, a negative number or infinity for all; maps that are stored already count.
    collection_terms, image_terms : dict, optional
        Field to wanted value or value operator; None for `basic_collection_terms` and
        `basic_image_terms`, ``{}`` for no condition.
    collection_filter, image_filter : callable, optional
        Called with normalised metadata; truthy keeps. Terms apply besides.
    mode : {"download_new", "overwrite", "offline"}, default="download_new"
        ``download_new`` serves what is stored and fetches the rest, ``overwrite`` fetches everything
        again, ``offline`` opens no connection. Upper case will do.
    data_dir : path or URL, optional
        Where datasets are stored; else from the environment: see `nvframe.get_data_dirs`.
    fetch_neurosynth_words : bool, default=False
        Whether to fetch the weights of Neurosynth's words for each map.
    resample : bool, default=False
        Whether to return maps resampled to 3 mm; only those are then kept.
    interpolation : {"continuous", "linear", "nearest"}, default="continuous"
        For `resample`.
    vectorize_words : bool, default=True
        Whether words come as a matrix too.
    timeout : float, default=10.0
        Seconds to connect and between two reads.
    verbose : int or bool, default=3
        0 for silence to 3 for every step, on standard error.
    **kwarg_image_filters
        More `image_terms`, which win over those. ``image_ids`` and ``collection_ids`` are understood as in
        `fetch_neurovault_ids`; default terms then do not apply.

    Returns
    -------
    sklearn.utils.Bunch
        - ``images``: list of str, paths of NIfTI files, or URLs on remote storage
        - ``images_meta``, ``collections_meta``: lists of dict aligned with ``images``
        - ``description``: str, about NeuroVault
        - ``word_frequencies``: float64 of shape (images, words), ``vocabulary``: array of str, with words;
          a map without words is a row of zeros, and both are None where no words came at all
        - ``failures``: list of dict, what was lost and why

    Raises
    ------
    TypeError, ValueError, nvframe.errors.StorageError
        For bad input, before any request.

    See Also
    --------
    fetch_neurovault_ids : exactly these images and collections.
    nvframe.fetch : the same and more, as a Frame.

    Examples
    --------
    >>> import os, nvframe.testing
    >>> from nvframe import fetch_neurovault
    >>> with nvframe.testing.NeuroVaultServer.synthetic() as server:
    ...     getfixture("monkeypatch").setenv("NVFRAME_NEUROVAULT_URL", server.url)
    ...     maps = fetch_neurovault(max_images=2, data_dir=getfixture("tmp_path"), verbose=0)
    >>> len(maps.images), maps.failures
    (2, [])
    """
    image_ids = kwarg_image_filters.pop("image_ids", None)
    collection_ids = kwarg_image_filters.pop("collection_ids", None)
    _warn_of_lookalikes(kwarg_image_filters)
    by_ids = image_ids is not None or collection_ids is not None
    if not by_ids:
        _warn_of_default_terms("image", image_filter, image_terms, basic_image_terms())
        _warn_of_default_terms("collection", collection_filter, collection_terms, basic_collection_terms())
    if kwarg_image_filters:
        base = image_terms if image_terms is not None else {} if by_ids else basic_image_terms()
        image_terms = _merged(base, kwarg_image_filters)
    return _fetch_bunch(
        fetch_neurosynth_words=fetch_neurosynth_words,
        resample=resample,
        interpolation=interpolation,
        vectorize_words=vectorize_words,
        verbose=verbose,
        max_images=None if by_ids and max_images == DEFAULT_MAX_IMAGES else max_images,
        collection_terms=collection_terms,
        collection_filter=collection_filter,
        image_terms=image_terms,
        image_filter=image_filter,
        image_ids=image_ids,
        collection_ids=collection_ids,
        mode=mode,
        data_dir=data_dir,
        timeout=timeout,
    )


def fetch_neurovault_ids(
    collection_ids: Iterable[Any] = (),
    image_ids: Iterable[Any] = (),
    mode: str = "download_new",
    data_dir: str | PathLike[str] | None = None,
    fetch_neurosynth_words: bool = False,
    resample: bool = False,
    vectorize_words: bool = True,
    timeout: float = 10.0,
    verbose: int = 3,
    *,
    interpolation: str = "continuous",
) -> Bunch:
    """Fetch exactly these collections and images from NeuroVault.

    Parameters
    ----------
    collection_ids : iterable, default=()
        Collections of which every image is wanted: int, str or numpy integers.
    image_ids : iterable, default=()
        Images that are wanted besides.
    mode, data_dir, fetch_neurosynth_words, resample, vectorize_words, timeout, verbose, interpolation
        As for `fetch_neurovault`.

    Returns
    -------
    sklearn.utils.Bunch
        As from `fetch_neurovault`, in the order asked for: the images of the collections, then the images.
        Ids that do not exist, or are private, are in ``failures`` with the server's reason.

    Raises
    ------
    TypeError, ValueError, nvframe.errors.StorageError
        For bad input, before any request.

    Examples
    --------
    >>> import nvframe.testing
    >>> from nvframe import fetch_neurovault_ids
    >>> with nvframe.testing.NeuroVaultServer.synthetic() as server:
    ...     getfixture("monkeypatch").setenv("NVFRAME_NEUROVAULT_URL", server.url)
    ...     maps = fetch_neurovault_ids(image_ids=[1002, 1001], data_dir=getfixture("tmp_path"), verbose=0)
    >>> [meta["id"] for meta in maps.images_meta]
    [1002, 1001]
    """
    return _fetch_bunch(
        fetch_neurosynth_words=fetch_neurosynth_words,
        resample=resample,
        interpolation=interpolation,
        vectorize_words=vectorize_words,
        verbose=verbose,
        max_images=None,
        image_ids=() if image_ids is None else image_ids,
        collection_ids=() if collection_ids is None else collection_ids,
        mode=mode,
        data_dir=data_dir,
        timeout=timeout,
    )


def fetch_neurovault_auditory_computation_task(
    data_dir: str | PathLike[str] | None = None, verbose: int = 1, timeout: float = 10.0
) -> Bunch:
    """Fetch one contrast map of an auditory computation task (image 32980).

    Parameters
    ----------
    data_dir, verbose, timeout
        As for `fetch_neurovault`.

    Returns
    -------
    sklearn.utils.Bunch
        As from `fetch_neurovault_ids`.

    Examples
    --------
    >>> from nvframe import fetch_neurovault_auditory_computation_task
    >>> fetch_neurovault_auditory_computation_task(data_dir="~/maps")  # doctest: +SKIP
    """
    return fetch_neurovault_ids(
        image_ids=[AUDITORY_COMPUTATION_IMAGE], data_dir=data_dir, verbose=verbose, timeout=timeout
    )


def neurosynth_words_vectorized(
    word_files: Iterable[Any], verbose: int = 3, **kwargs: Any
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | tuple[None, None]:
    """Load Neurosynth's words from files into a matrix.

    Parameters
    ----------
    word_files : iterable of path or URL
        As in ``ns_words_absolute_path``; a file that cannot be read is a row of zeros.
    verbose : int, default=3
        As for `fetch_neurovault`.
    **kwargs
        For `sklearn.feature_extraction.DictVectorizer`.

    Returns
    -------
    frequencies : numpy.ndarray of shape (files, words) or None
        Weights; None, with a warning, where no file held any.
    vocabulary : numpy.ndarray of str or None
        The words, in the order of the columns.

    Examples
    --------
    >>> path = getfixture("tmp_path") / "neurosynth_words_for_image_1.json"
    >>> _ = path.write_text('{"data": {"values": {"motor": 0.5, "hand": 0.25}}}')
    >>> frequencies, vocabulary = neurosynth_words_vectorized([path], verbose=0)
    >>> frequencies.tolist(), vocabulary.tolist()
    ([[0.25, 0.5]], ['hand', 'motor'])
    """
    import numpy as np
    from sklearn.feature_extraction import DictVectorizer

    with log_to_console(int(verbose)):
        words = [_words_in(file) for file in word_files]
    if not any(words):
        warn_caller("no word weight could be loaded: there is nothing to vectorize", UserWarning)
        return None, None
    if not kwargs and all(are_numbers(row.values()) for row in words):
        return word_matrix(words)
    vectorizer = DictVectorizer(**kwargs)
    matrix = vectorizer.fit_transform(words)
    frequencies = matrix.toarray() if hasattr(matrix, "toarray") else matrix
    return frequencies, np.asarray(vectorizer.feature_names_)


def _words_in(file: Any) -> dict[str, Any]:
    try:
        values: dict[str, Any] = parsed_json(_bytes_of(str(file)))["data"]["values"]
        return dict(values)
    except Exception as error:
        log.warning("no words from %s: %s", file, error)
        return {}


def _bytes_of(file: str) -> bytes:
    if not is_remote(file):
        return Path(file).read_bytes()
    import fsspec

    with fsspec.open(file, "rb") as opened:
        body: bytes = opened.read()
    return body


def _fetch_bunch(
    *,
    fetch_neurosynth_words: bool,
    resample: bool,
    interpolation: str,
    vectorize_words: bool,
    verbose: Any,
    **query: Any,
) -> Bunch:
    """Return nilearn's Bunch for a query: the core's `fetch` in nilearn's words."""
    if interpolation not in INTERPOLATIONS:
        raise ValueError(f"interpolation must be one of {', '.join(INTERPOLATIONS)}, got {interpolation!r}")
    if not isinstance(verbose, numbers.Integral):
        raise TypeError(f"verbose must be an int or a bool, got {verbose!r}")
    with log_to_console(int(verbose)):
        frame = fetch(
            "neurovault",
            processors=[("resample-3mm", {"interpolation": interpolation})] if resample else [],
            annotators=["neurosynth-words"] if fetch_neurosynth_words else [],
            **query,
        )
    if resample:
        _point_at_resampled(frame)
    return frame.to_bunch(vectorize_words=vectorize_words)


def _point_at_resampled(frame: Any) -> None:
    """Make ``resampled_*_path`` name the file that was made, whatever the interpolation."""
    for meta, asset, path in zip(frame.images_meta, frame.assets, frame.images, strict=True):
        meta["resampled_relative_path"] = asset.key
        meta["resampled_absolute_path"] = path


def _merged(terms: Any, more: Mapping[str, Any]) -> Any:
    return {**terms, **more} if isinstance(terms, Mapping) else terms


def _warn_of_default_terms(level: str, given: Any, terms: Any, defaults: Mapping[str, Any]) -> None:
    """Say that a filter function does not switch the default terms off."""
    if given is filters.keep_all or not callable(given):
        return
    if terms is not None and not _same_terms(terms, defaults):
        return
    warn_caller(
        f"`{level}_filter` is given, and the default `{level}_terms` still apply besides; "
        f"pass `{level}_terms={{}}` to switch them off",
        UserWarning,
    )


def _same_terms(terms: Any, defaults: Mapping[str, Any]) -> bool:
    # Operators compare by what they accept, so two equal ones are told by how they are written.
    return isinstance(terms, Mapping) and repr(dict(terms)) == repr(dict(defaults))


def _parameters() -> list[str]:
    return [name for name in inspect.signature(fetch_neurovault).parameters if "kwarg" not in name]


def _warn_of_lookalikes(keywords: Mapping[str, Any]) -> None:
    """Say which image filters look like a mistyped parameter."""
    for keyword in keywords.keys() - {"collection_id"}:  # a field that is often asked for
        near = difflib.get_close_matches(keyword, _parameters(), n=1, cutoff=0.8)
        if near:
            warn_caller(
                f"{keyword!r} is taken as a condition on the image field of that name; did you mean {near[0]!r}?",
                UserWarning,
            )
