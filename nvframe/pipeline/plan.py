"""From what the caller wrote to a checked Query and WorkPlan; nothing here asks a server."""

from __future__ import annotations

import difflib
import math
import numbers
import operator
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast

from nvframe.cache import layout
from nvframe.errors import PluginError, warn_caller
from nvframe.filters import IsIn
from nvframe.http.retry import Retry
from nvframe.pipeline.identity import identity_of, name_of
from nvframe.pipeline.task import Step, WorkPlan
from nvframe.pipeline.validate import check_annotators
from nvframe.plugins import AnnotatorPlugin, FilterPlugin, ImageProcessorPlugin
from nvframe.types import ORIGINAL, Metadata

if TYPE_CHECKING:
    from nvframe.contracts import Annotator, MetadataSource, Storage
    from nvframe.plugins.discovery import Registered
    from nvframe.plugins.registry import Registry

Mode = Literal["download_new", "update", "overwrite", "offline"]
MODES: tuple[Mode, ...] = ("download_new", "update", "overwrite", "offline")

ON_ERROR = ("warn", "raise", "ignore")

DEFAULT_WORKERS = 8

Predicate = Callable[[Metadata], Any]


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `count` parts that share the images among them, whatever a server lists when.

    Examples
    --------
    >>> [part for part in range(3) if Shard(part, 3).holds("10426")]
    [0]
    """

    index: int = 0
    count: int = 1

    def holds(self, image_id: str) -> bool:
        """Tell whether an image belongs to this part: by its id alone, so that jobs agree without talking."""
        return self.count == 1 or zlib.crc32(image_id.encode()) % self.count == self.index


@dataclass(frozen=True, slots=True)
class Query:
    """Which images are wanted.

    Attributes
    ----------
    collection_terms, image_terms : Mapping
        Field to value or operator.
    collection_filters, image_filters : tuple of callable
        Further conditions on normalised metadata.
    collection_ids, image_ids : tuple of str
        In the order asked for; both empty, and `by_ids` False, for a query by terms.
    by_ids : bool
        Whether the ids say what is wanted.
    max_images : int or None
        None for all.
    mode : str
        One of `MODES`.
    shard : Shard
        Which part of the images.
    """

    collection_terms: Metadata = field(default_factory=dict)
    image_terms: Metadata = field(default_factory=dict)
    collection_filters: tuple[Predicate, ...] = ()
    image_filters: tuple[Predicate, ...] = ()
    collection_ids: tuple[str, ...] = ()
    image_ids: tuple[str, ...] = ()
    by_ids: bool = False
    max_images: int | None = None
    mode: Mode = "download_new"
    shard: Shard = Shard()


@dataclass(frozen=True, slots=True)
class Work:
    """What to do with the images of a query; the fields are parameters of `nvframe.fetch`.

    Attributes
    ----------
    processors, annotators : sequence
        Selectors, in the caller's order.
    keep_original : bool or None
        Whether originals are stored beside processed images; None for the rule of `nvframe.fetch`.
    executor : object or None
        Runs the workers; None for threads.
    max_workers : int or None
        None for the default.
    on_error : str
        ``warn``, ``raise`` or ``ignore``.
    progress : bool, callable or None
        None for what `nvframe.set_options` says.

    Raises
    ------
    ValueError
        For an `on_error` that does not exist, or workers that cannot be counted.
    """

    processors: Sequence[Any] = ()
    annotators: Sequence[Any] = ()
    keep_original: bool | None = None
    executor: Any = None
    max_workers: int | None = None
    on_error: str = "warn"
    progress: Any = None

    def __post_init__(self) -> None:
        if self.on_error not in ON_ERROR:
            raise ValueError(f"on_error must be 'warn', 'raise' or 'ignore', got {self.on_error!r}")
        checked_workers(self.max_workers)


def make_query(
    source: MetadataSource,
    registry: Registry,
    *,
    image_terms: Metadata | None = None,
    collection_terms: Metadata | None = None,
    image_filter: Predicate | None = None,
    collection_filter: Predicate | None = None,
    filters: Sequence[Any] = (),
    image_ids: Any = None,
    collection_ids: Any = None,
    max_images: float | None = 100,
    mode: str = "download_new",
    shard: tuple[int, int] | None = None,
) -> Query:
    """Return the checked query; the parameters are those of `nvframe.fetch`.

    Raises
    ------
    TypeError, ValueError
        For bad input; says which parameter and what it takes.
    """
    by_ids = image_ids is not None or collection_ids is not None
    default_collection, default_image = ({}, {}) if by_ids else source.default_terms()
    on_collections = _checked_terms("collection_terms", collection_terms, default_collection)
    on_images = _checked_terms("image_terms", image_terms, default_image)
    if not by_ids:
        on_images, on_collections = _moved_collection_id(on_images, on_collections)
    extra = [_checked_filter(registry, selector) for selector in filters]
    return Query(
        collection_terms=_with_id_as_number(on_collections),
        image_terms=on_images,
        collection_filters=(
            *_given("collection_filter", collection_filter),
            *(each for each in extra if each.level == "collection"),
        ),
        image_filters=(
            *_given("image_filter", image_filter),
            *(each for each in extra if each.level == "image"),
        ),
        collection_ids=_checked_ids("collection_ids", collection_ids),
        image_ids=_checked_ids("image_ids", image_ids),
        by_ids=by_ids,
        max_images=_checked_limit(max_images),
        mode=checked_mode(mode),
        shard=_checked_shard(shard),
    )


def checked_mode(mode: object) -> Mode:
    """Return `mode` in lower case, or raise ValueError with the nearest names."""
    if not isinstance(mode, str):
        raise TypeError(f"mode must be a str, got {type(mode).__name__}")
    if mode.lower() not in MODES:
        near = difflib.get_close_matches(mode.lower(), MODES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"'mode' must be one of {', '.join(map(repr, MODES))}, got {mode!r}{hint}")
    return cast("Mode", mode.lower())


def checked_workers(max_workers: Any) -> int:
    """Return the number of workers, or raise ValueError; None for the default."""
    if max_workers is None:
        return DEFAULT_WORKERS
    if not isinstance(max_workers, numbers.Integral) or max_workers < 1:
        raise ValueError(f"max_workers must be a whole number from 1 on, got {max_workers!r}")
    return int(max_workers)


def checked_timeout(timeout: object) -> float:
    """Return `timeout` in seconds, or raise TypeError or ValueError."""
    if isinstance(timeout, bool) or not isinstance(timeout, numbers.Real):
        raise TypeError(f"timeout must be a number of seconds, got {timeout!r}")
    if not 0 < float(timeout) < math.inf:
        raise ValueError(f"timeout must be a positive number of seconds, got {timeout!r}")
    return float(timeout)


def _checked_shard(shard: Any) -> Shard:
    if shard is None:
        return Shard()
    try:
        index, count = map(operator.index, shard)
    except (TypeError, ValueError):
        index, count = 0, 0
    if not 0 <= index < count:
        raise ValueError(
            f"shard must be (i, n) with 0 <= i < n, such as (0, 8) for the first of 8, got {shard!r}"
        )
    return Shard(index, count)


def _checked_limit(max_images: Any) -> int | None:
    if max_images is None:
        return None
    if not isinstance(max_images, numbers.Real | float):
        raise TypeError(f"max_images must be a number or None, got {max_images!r}")
    if math.isnan(max_images):
        raise ValueError("max_images must be a number or None, got NaN")
    limit = float(max_images)
    if limit < 0 or math.isinf(limit):
        return None
    if not limit.is_integer():
        raise ValueError(f"max_images must be a whole number, got {max_images!r}")
    return int(limit)


def _checked_terms(name: str, terms: object, default: Metadata) -> dict[str, Any]:
    if terms is None:
        return dict(default)
    if not isinstance(terms, Mapping):
        raise TypeError(f"{name} must be a dict of field to wanted value, got {type(terms).__name__}")
    return dict(terms)


def _moved_collection_id(
    image_terms: dict[str, Any], collection_terms: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Turn an image term on ``collection_id`` into a collection term, so that only that collection is asked for."""
    if "collection_id" not in image_terms:
        return image_terms, collection_terms
    wanted = image_terms["collection_id"]
    if "id" in collection_terms and collection_terms["id"] != wanted:
        warn_caller(
            "contradictory collection ids: image_terms ask for "
            f"collection_id={wanted!r}, collection_terms for id={collection_terms['id']!r}; no image has both",
            UserWarning,
        )
        return image_terms, collection_terms
    rest = {key: value for key, value in image_terms.items() if key != "collection_id"}
    return rest, {**collection_terms, "id": wanted}


def _with_id_as_number(collection_terms: dict[str, Any]) -> dict[str, Any]:
    """Let an id that is written as text find the number it stands for, as the server's own address does."""
    wanted = collection_terms.get("id")
    if not (isinstance(wanted, str) and wanted.isdecimal()):
        return collection_terms
    return {**collection_terms, "id": IsIn(int(wanted), wanted)}


def _given(name: str, predicate: Predicate | None) -> tuple[Predicate, ...]:
    if predicate is None:
        return ()
    if not callable(predicate):
        raise TypeError(f"{name} must be callable, got {type(predicate).__name__}")
    return (predicate,)


def _checked_filter(registry: Registry, selector: Any) -> Any:
    built, _, _ = registry.build(FilterPlugin, selector)
    if getattr(built, "level", None) not in ("collection", "image") or not callable(built):
        raise PluginError(f"filter {selector!r} must be callable and have level 'collection' or 'image'")
    return built


def _checked_ids(name: str, ids: Any) -> tuple[str, ...]:
    """Return ids as text in the order given, each once; a set has none, so its ids are sorted."""
    if ids is None:
        return ()
    if isinstance(ids, str | numbers.Real):
        ids = [ids]
    if isinstance(ids, Mapping) or not isinstance(ids, Iterable):
        raise TypeError(f"{name} must be a list of ids, got {type(ids).__name__}")
    texts = [_id_text(value) for value in ids]
    if isinstance(ids, set | frozenset):
        texts.sort(key=lambda text: (not text.isdecimal(), int(text) if text.isdecimal() else 0, text))
    return tuple(dict.fromkeys(texts))


def _id_text(value: Any) -> str:
    whole = not isinstance(value, bool) and isinstance(value, numbers.Real) and float(value).is_integer()
    return str(int(value)) if whole else str(value)


def make_plan(
    source: MetadataSource,
    storage: Storage,
    registry: Registry,
    *,
    processors: Sequence[Any] = (),
    annotators: Sequence[Any] = (),
    keep_original: bool | None = None,
    offline: bool = False,
    retry: Retry | None = None,
    timeout: float = 10.0,
) -> WorkPlan:
    """Return the checked work plan; the parameters are those of `nvframe.fetch`."""
    steps = tuple(_step(registry, selector) for selector in _checked_list("processors", processors))
    context = {"timeout": timeout} | ({"retry": retry} if retry else {})
    made = [_annotator(registry, each, context) for each in _checked_list("annotators", annotators)]
    check_annotators([annotator for annotator, _ in made])
    role = _role(steps)
    return WorkPlan(
        source=source,
        storage=storage,
        steps=steps,
        annotators=tuple(annotator for annotator, _ in made),
        annotator_identities=tuple(identity for _, identity in made),
        role=role,
        keep_original=role != layout.RESAMPLED if keep_original is None else keep_original,
        offline=offline,
        retry=retry or Retry(),
    )


def _checked_list(name: str, selectors: Any) -> Sequence[Any]:
    if isinstance(selectors, str) or not isinstance(selectors, Sequence):
        raise TypeError(f"{name} must be a list of names, (name, parameters) or objects, got {selectors!r}")
    return selectors


def _role(steps: tuple[Step, ...]) -> str:
    """Return the role of what a chain makes: nilearn's name for `resample-3mm` alone, else a digest."""
    if not steps:
        return ORIGINAL
    if len(steps) == 1 and steps[0].plain and steps[0].name == "resample-3mm":
        return layout.RESAMPLED
    return f"proc-{layout.digest([step.identity for step in steps])}"


def _step(registry: Registry, selector: Any) -> Step:
    processor, registered, params = registry.build(ImageProcessorPlugin, selector)
    if not callable(processor):
        raise PluginError(f"processor {selector!r} cannot be called")
    name = registered.plugin.name if registered else name_of(processor)
    identity, described = identity_of(name, processor, registered, params)
    return Step(
        name=name,
        identity=identity,
        processor=processor,
        plain=bool(registered and registered.builtin and _is_default(registry, registered, described)),
    )


def _is_default(registry: Registry, registered: Registered, described: Any) -> bool:
    """Tell whether a built-in processor's parameters are its defaults, however they were written."""
    if not described:
        return True
    try:
        default, _, _ = registry.build(ImageProcessorPlugin, registered.plugin.name)
    except PluginError:
        return False  # it has a parameter without a default
    parameters = getattr(default, "parameters", None)
    return callable(parameters) and layout.digest(parameters()) == layout.digest(described)


def _annotator(registry: Registry, selector: Any, context: Mapping[str, Any]) -> tuple[Annotator, str]:
    """Return an annotator and its identity; "" for a built-in with its defaults."""
    built, registered, params = registry.build(AnnotatorPlugin, selector, **context)
    if not callable(getattr(built, "annotate", None)):
        raise PluginError(f"annotator {selector!r} has no method annotate(record, img)")
    if registered is not None and registered.builtin and not params:
        return cast("Annotator", built), ""
    return cast("Annotator", built), identity_of(built.name, built, registered, params)[0]
