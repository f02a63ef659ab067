"""The built-in result formats."""

from __future__ import annotations

from collections.abc import Iterator

from nvframe.plugins import ResultFormatPlugin
from nvframe.plugins.hookspecs import hookimpl


@hookimpl
def nvframe_result_formats() -> Iterator[ResultFormatPlugin]:
    """Yield the built-in result formats."""
    yield ResultFormatPlugin(
        "bunch", "nvframe.results.bunch:BunchFormat", "nilearn's Bunch of paths and metadata"
    )
    yield ResultFormatPlugin("pandas", "nvframe.results.table:TableFormat", "a DataFrame, a row per image")
    yield ResultFormatPlugin(
        "xarray", "nvframe.results.dataset:DatasetFormat", "a lazy Dataset on (image, x, y, z)"
    )
    yield ResultFormatPlugin(
        "zarr",
        "nvframe.results.zarr.format:ZarrFormat",
        "a Zarr that grows, for xarray anywhere",
        requires=("nvframe[zarr]",),
    )
    yield ResultFormatPlugin(
        "manifest", "nvframe.results.manifest:ManifestFormat", "a JSON list of what is stored, with checksums"
    )
