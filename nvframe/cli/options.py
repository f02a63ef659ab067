"""The options that commands share, and what they stand for in a call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import click

from nvframe.cli.parsing import ALL, Condition, condition, limit, pair, selector, shard

if TYPE_CHECKING:
    from nvframe.frame import Frame
    from nvframe.types import Metadata

Command = TypeVar("Command", bound=Callable[..., Any])
MODES = ("download_new", "update", "overwrite", "offline")
DEFAULT_MAX_IMAGES = 100


def _be_verbose(context: click.Context, _: click.Parameter, level: int) -> None:
    from nvframe.console import log_to_console

    context.with_resource(log_to_console(level))


verbosity = click.option(
    "-v", "--verbose", count=True, expose_value=False, callback=_be_verbose, help="Log more; up to -vvv."
)

_conditions = partial(click.option, multiple=True, type=condition, metavar="FIELD=VALUE")
_plugins = partial(click.option, multiple=True, type=selector, metavar="NAME[:key=value,...]")

_SOURCE = (click.argument("source", default="neurovault", type=selector, metavar="[SOURCE]"),)

_QUERY = (
    _conditions("--where", help="Condition on images; repeat to add."),
    _conditions("--collection-where", help="Condition on collections."),
    _plugins("--filter", "filters", help="Keep what an installed filter keeps."),
    click.option(
        "--collection-id", "collection_ids", multiple=True, metavar="ID", help="Images of this collection."
    ),
    click.option("--image-id", "image_ids", multiple=True, metavar="ID", help="This image."),
    click.option(
        "--max-images",
        type=limit,
        metavar="N|all",
        help=f"How many at most.  [default: {DEFAULT_MAX_IMAGES}, or all that ids name]",
    ),
    click.option(
        "--shard",
        type=shard,
        metavar="I/N",
        help="Only part I of N, counted from 0: for N jobs side by side.",
    ),
    click.option(
        "--default-terms/--no-default-terms",
        default=True,
        help="Leave out thresholded, non-MNI, ROI and atlas images.  [default: yes, unless ids are given]",
    ),
    click.option(
        "--timeout", default=10.0, show_default=True, help="Seconds to connect, and between two reads."
    ),
    click.option(
        "--storage-option",
        multiple=True,
        type=pair,
        metavar="KEY=VALUE",
        help="For a remote data directory; repeat.",
    ),
    verbosity,
)

_PLACE = (
    click.option(
        "--data-dir", metavar="PATH|URL", help="Where datasets are stored.  [default: NVFRAME_DATA, ...]"
    ),
)

_WORK = (
    _plugins("--processor", "processors", help="Apply, in the order given."),
    click.option(
        "--resample", is_flag=True, help="Bring all onto one 3 mm grid first: --processor resample-3mm."
    ),
    _plugins("--annotator", "annotators", help="Ask for knowledge on each image."),
    click.option("--words", is_flag=True, help="Ask Neurosynth for words: --annotator neurosynth-words."),
    click.option(
        "--mode",
        type=click.Choice(MODES, case_sensitive=False),
        default="download_new",
        show_default=True,
        help="update fetches again what changed, overwrite all; offline uses what is stored.",
    ),
    click.option("--workers", type=click.IntRange(1), default=8, show_default=True, help="Images at a time."),
)


def selection(command: Command) -> Command:
    """Add the source, the options that say which images are meant, and where they are stored."""
    return _with(_SOURCE + _QUERY + _PLACE, command)


def conditions(command: Command) -> Command:
    """Add the options that say which images are meant."""
    return _with(_QUERY, command)


def work(command: Command) -> Command:
    """Add the options that say what is done with each image."""
    return _with(_WORK, command)


def _with(options: Sequence[Any], command: Command) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


def fetched(
    *,
    processors: Sequence[Any],
    resample: bool,
    annotators: Sequence[Any],
    words: bool,
    mode: str,
    workers: int,
    **query: Any,
) -> Frame:
    """Return what `work` and the options about images ask for, with progress shown."""
    import nvframe

    return nvframe.fetch(
        **query_of(**query),
        processors=["resample-3mm", *processors] if resample else list(processors),
        annotators=["neurosynth-words", *annotators] if words else list(annotators),
        mode=mode,
        max_workers=workers,
        on_error="ignore",
        progress=True,
    )


def query_of(
    *,
    source: Any,
    where: Sequence[Condition],
    collection_where: Sequence[Condition],
    filters: Sequence[Any],
    collection_ids: Sequence[str],
    image_ids: Sequence[str],
    max_images: int | None,
    shard: tuple[int, int] | None,
    default_terms: bool,
    data_dir: str | None,
    storage_option: Sequence[tuple[str, Any]],
    timeout: float,
) -> dict[str, Any]:
    """Return what `selection` gathered, as arguments of `nvframe.search` and `nvframe.fetch`.

    A condition on a field takes the place of the default one on it; several on one field must all hold.
    """
    by_ids = bool(collection_ids or image_ids)
    on_collections: dict[str, Any] | None = None if default_terms or by_ids else {}
    on_images: dict[str, Any] | None = None if default_terms or by_ids else {}
    if default_terms and not by_ids and (where or collection_where):
        on_collections, on_images = _default_terms(source)
    if max_images is None:
        max_images = ALL if by_ids else DEFAULT_MAX_IMAGES
    image_terms, image_filter = _terms(on_images, where)
    collection_terms, collection_filter = _terms(on_collections, collection_where)
    return {
        "source": source,
        "image_terms": image_terms,
        "collection_terms": collection_terms,
        "image_filter": image_filter,
        "collection_filter": collection_filter,
        "filters": list(filters),
        "image_ids": list(image_ids) or None,
        "collection_ids": list(collection_ids) or None,
        "max_images": max_images,
        "shard": shard,
        "data_dir": data_dir,
        "storage_options": dict(storage_option) or None,
        "timeout": timeout,
    }


def _default_terms(source: Any) -> tuple[Any, Any]:
    from nvframe.plugins import MetadataSourcePlugin
    from nvframe.plugins.registry import default_registry

    built, _, _ = default_registry().build(MetadataSourcePlugin, source)
    on_collections, on_images = built.default_terms()
    return dict(on_collections), dict(on_images)


def _terms(defaults: dict[str, Any] | None, conditions: Sequence[Condition]) -> tuple[Any, Any]:
    """Return terms, and a filter for what a dict of terms cannot say: two conditions on one field."""
    if not conditions:
        return defaults, None
    first = dict(reversed(conditions))
    more = [(field, wanted) for field, wanted in conditions if first[field] is not wanted]
    return {**(defaults or {}), **first}, partial(_meets, more) if more else None


def _meets(conditions: Sequence[Condition], metadata: Metadata) -> bool:
    from nvframe.filters import matches

    return all(matches({field: wanted}, metadata) for field, wanted in conditions)
