"""A directory tree at any URL that fsspec knows, looked at one directory at a time."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nvframe.credentials import advice, travelling
from nvframe.errors import DownloadError, SourceError
from nvframe.http import without_secrets
from nvframe.types import parsed_json
from nvframe.urls import strip_credentials


@dataclass(frozen=True, slots=True)
class File:
    """A file in a listing.

    Attributes
    ----------
    path : str
        Below the tree's root, with slashes.
    size : int or None
        Bytes.
    validator : str or None
        ETag or date: changes with the content.
    modified : str or None
        ISO 8601.
    """

    path: str
    size: int | None
    validator: str | None
    modified: str | None

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]


class Tree:
    """Lists and opens what is below a root; travels without credentials.

    Parameters
    ----------
    root : str
        A path, or a URL such as ``s3://bucket/derivatives``.
    storage_options : Mapping, optional
        For fsspec.

    Raises
    ------
    SourceError
        If nothing can open such a URL.

    Examples
    --------
    >>> tree = Tree(str(getfixture("tmp_path")))
    >>> tree.listed("")
    ([], [])
    """

    def __init__(self, root: str, storage_options: Mapping[str, Any] | None = None) -> None:
        self.root = str(root).rstrip("/") or "/"
        self._options, self._withheld = travelling(storage_options or {})
        self._advice = ""
        self._open(storage_options or {})

    def _open(self, storage_options: Mapping[str, Any]) -> None:
        import fsspec

        try:
            self._fs, path = fsspec.core.url_to_fs(self.root, **storage_options)
        except (ImportError, ValueError) as error:
            raise SourceError(f"cannot open {self.url}: {error}") from error
        self._path = path.rstrip("/")

    def __getstate__(self) -> dict[str, Any]:
        return {"root": self.url, "_options": self._options, "_withheld": self._withheld}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._advice = advice(self._withheld)
        self._open(self._options)

    @property
    def url(self) -> str:
        """The root without credentials: an absolute path, or a URL."""
        if "://" in self.root and not self.root.startswith("file://"):
            return (
                without_secrets(self.root) if self.root.startswith("http") else strip_credentials(self.root)
            )
        return self._path if hasattr(self, "_path") else self.root

    def url_of(self, path: str) -> str:
        """Return where a file is."""
        return f"{self.url}/{path}"

    def path_of(self, url: str) -> str:
        """Return the path of what `url_of` named; SourceError for anything else."""
        prefix = f"{self.url}/"
        path = url.removeprefix(prefix)
        if not url.startswith(prefix) or ".." in path.split("/"):
            raise SourceError(f"{without_secrets(url):.200} is not below {self.url}")
        return path

    def listed(self, path: str) -> tuple[list[str], list[File]]:
        """Return the directories and files in a directory, by name; none where there is no such directory."""
        place = self._full(path)
        try:
            found = self._fs.ls(place, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return [], []
        except Exception as error:
            raise self.lost(path, error) from error
        directories, files = [], []
        for info in sorted(found, key=lambda info: str(info["name"])):
            name = str(info["name"]).rstrip("/").rpartition("/")[2]
            if (
                not name or str(info["name"]).rstrip("/") == place
            ):  # object stores list a directory's own marker
                continue
            below = f"{path}/{name}" if path else name
            if info["type"] == "directory":
                directories.append(below)
            else:
                files.append(File(below, info.get("size"), _validator(info), _modified(info)))
        return directories, files

    def refresh(self) -> None:
        """Forget what was listed: another process may have written since."""
        self._fs.invalidate_cache()

    def exists(self) -> bool:
        """Tell whether there is anything at the root."""
        try:
            return bool(self._fs.exists(self._path))
        except Exception as error:
            raise self.lost("", error) from error

    def json(self, path: str) -> Mapping[str, Any]:
        """Return a JSON object; SourceError if it is something else, DownloadError if it cannot be read."""
        try:
            value = parsed_json(self._fs.cat_file(self._full(path)))
        except ValueError as error:
            raise SourceError(f"{path} is not valid JSON") from error
        except Exception as error:
            raise self.lost(path, error) from error
        if not isinstance(value, dict):
            raise SourceError(f"{path} holds no JSON object")
        return value

    def file(self, path: str) -> File:
        """Return what a listing would say of one file."""
        try:
            info = self._fs.info(self._full(path))
        except Exception as error:
            raise self.lost(path, error) from error
        return File(path, info.get("size"), _validator(info), _modified(info))

    def chunks(self, path: str, start: int, size: int = 1 << 18) -> Iterator[bytes]:
        """Yield a file's bytes from `start` on."""
        try:
            with self._fs.open(self._full(path), "rb") as file:
                file.seek(start)
                while chunk := file.read(size):
                    yield chunk
        except Exception as error:
            raise self.lost(path, error) from error

    def _full(self, path: str) -> str:
        return f"{self._path}/{path}" if path else self._path

    def lost(self, path: str, error: Exception) -> DownloadError:
        """Return the error that says what could not be read."""
        missing = isinstance(error, FileNotFoundError)
        what = (
            "is not there"
            if missing
            else f"cannot be read: {type(error).__name__}: {strip_credentials(' '.join(str(error).split()))}"
        )
        retryable = not isinstance(error, FileNotFoundError | PermissionError)
        return DownloadError(f"{self.url_of(path)} {what}{self._advice}", retryable=retryable)


def _validator(info: Mapping[str, Any]) -> str | None:
    for name in ("ETag", "etag", "LastModified", "mtime", "created"):
        if info.get(name) is not None:
            return f"{info[name]}-{info.get('size')}"
    return None


def _modified(info: Mapping[str, Any]) -> str | None:
    when = info.get("LastModified") or info.get("mtime") or info.get("created")
    if isinstance(when, int | float):
        when = datetime.datetime.fromtimestamp(when, tz=datetime.UTC)
    return when.isoformat() if isinstance(when, datetime.datetime) else None
