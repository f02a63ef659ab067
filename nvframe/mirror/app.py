"""The ASGI app: NeuroVault's read-only API over a catalogue."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson

from nvframe.mirror.catalogue import KINDS, Catalogue, Kind, with_base
from nvframe.mirror.media import media_response
from nvframe.mirror.paging import limit_and_offset, page_json
from nvframe.mirror.requirement import mirror_extra
from nvframe.mirror.stored import StoredFile

with mirror_extra():
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.exceptions import HTTPException
    from starlette.responses import Response
    from starlette.routing import Match, Route

if TYPE_CHECKING:
    from starlette.requests import Request

_JSON = "application/json; charset=utf-8"
_HTML = "text/html; charset=utf-8"
_NO_WORDS = b'{"data":{"values":{}}}'
_NOT_FOUND_PAGE = (
    '<!doctype html>\n<html lang="en">\n<head><title>Not Found</title></head>\n'
    "<body><h1>Not Found</h1><p>Nothing is stored at this address.</p></body>\n</html>\n"
)


def create_app(catalogue: Catalogue, *, base_url: str | None = None) -> Starlette:
    """Return an ASGI app that answers as NeuroVault does for what `catalogue` holds.

    Parameters
    ----------
    catalogue : Catalogue
        From `nvframe.mirror.load`, or any object with its four methods.
    base_url : str, optional
        Address that clients use, for the links in the answers; by default that of each request.

    Returns
    -------
    starlette.applications.Starlette
        Serves ``/api/`` (collections, images, atlases), ``/api/decode/`` and ``/media/``; GET and HEAD only.

    Notes
    -----
    Unlike NeuroVault's, its lists are ordered by id, an id that is not a number is 404 for collections too
    (there: 500), and files come with a strong ETag and in ranges. Filters in the query are ignored, as
    there. ``/api/decode/`` answers ``{"data": {"values": {}}}`` where an image has no stored words, and
    404 for an unknown image.

    Examples
    --------
    >>> from nvframe.mirror import StoredCatalogue
    >>> [route.path for route in create_app(StoredCatalogue()).routes][:3]
    ['/api/', '/api/decode/', '/api/my_collections/']
    """
    api = _Api(catalogue, base_url)
    routes = [
        Route("/api/", api.root),
        Route("/api/decode/", api.decode),
        Route("/api/my_collections/", api.mine),
    ]
    for kind in KINDS:
        routes += [
            Route(f"/api/{kind}/", partial(api.listing, kind)),
            Route(f"/api/{kind}/{{id}}/", partial(api.one, kind)),
        ]
        if kind != "collections":
            routes.append(Route(f"/api/collections/{{id}}/{kind}/", partial(api.listing, kind)))
    app = Starlette(
        routes=[
            *routes,
            Route("/media/{key:path}", api.media),
            Route("/{path:path}", partial(_redirect_to_slash, routes)),
        ],
        exception_handlers={404: _not_found_page, 405: _method_not_allowed},
    )
    app.router.redirect_slashes = False  # Starlette's redirects are temporary, Django's are permanent
    return app


class _Api:
    """The endpoints; each method answers one kind of route."""

    def __init__(self, catalogue: Catalogue, base_url: str | None) -> None:
        self._catalogue = catalogue
        self._base_url = base_url.rstrip("/") if base_url else None

    def _base(self, request: Request) -> str:
        """Return the address of this app: where a request came in, and where it is mounted."""
        if self._base_url:
            return self._base_url
        return f"{request.url.scheme}://{request.url.netloc}{request.scope.get('root_path', '')}"

    async def root(self, request: Request) -> Response:
        names = ("images", "atlases", "collections", "my_collections", "nidm_results")
        return _json(orjson.dumps({name: f"{self._base(request)}/api/{name}/" for name in names}))

    async def mine(self, request: Request) -> Response:
        """Refuse as NeuroVault refuses who is not logged in: a mirror knows no users."""
        return _detail(401, "Authentication credentials were not provided.", {"WWW-Authenticate": "Token"})

    async def listing(self, kind: Kind, request: Request) -> Response:
        collection_id = _canonical(request.path_params["id"]) if "id" in request.path_params else None
        page = self._catalogue.page(kind, collection_id, *limit_and_offset(request.url.query))
        if page is None or not _format_known(request):
            return _detail(404, "Not found.")
        count, ids = page
        records = [record for i in ids if (record := self._catalogue.record(kind, i)) is not None]
        base = self._base(request)
        url = (
            f"{base}/api/{kind}/"
            if collection_id is None
            else f"{base}/api/collections/{collection_id}/{kind}/"
        )
        return _json(with_base(page_json(url, request.url.query, count, records), base))

    async def one(self, kind: Kind, request: Request) -> Response:
        record = self._catalogue.record(kind, _canonical(request.path_params["id"]))
        if record is None or not _format_known(request):
            return _detail(404, "Not found.")
        return _json(with_base(record, self._base(request)))

    async def decode(self, request: Request) -> Response:
        image_id = _canonical(request.query_params.get("neurovault", ""))
        if self._catalogue.record("images", image_id) is None:
            return _detail(404, "Not found.")
        stored = self._catalogue.words(image_id)
        return _json(await run_in_threadpool(_words, stored) if stored else _NO_WORDS)

    async def media(self, request: Request) -> Response:
        stored = self._catalogue.media(request.path_params["key"])
        if stored is None:
            raise HTTPException(404)
        try:
            return await run_in_threadpool(media_response, stored, request.method, request.headers)
        except FileNotFoundError:
            raise HTTPException(404) from None


async def _redirect_to_slash(routes: Iterable[Route], request: Request) -> Response:
    """Redirect for good where only the last slash is missing; everything else does not exist."""
    path = request.scope["path"]
    slashed = dict(request.scope) | {"path": f"{path}/"}
    if path.endswith("/") or not any(route.matches(slashed)[0] is Match.FULL for route in routes):
        raise HTTPException(404)
    query = f"?{request.url.query}" if request.url.query else ""
    return Response(status_code=301, headers={"Location": quote(f"{path}/") + query}, media_type=_HTML)


async def _not_found_page(request: Request, error: Exception) -> Response:
    return Response(_NOT_FOUND_PAGE, 404, media_type=_HTML)


async def _method_not_allowed(request: Request, error: Exception) -> Response:
    return _detail(405, f'Method "{request.method}" not allowed.', {"Allow": "GET, HEAD"})


def _canonical(text: str) -> str:
    """Return an id as the catalogue has it: numbers without leading zeros."""
    return (text.lstrip("0") or "0") if text.isascii() and text.isdigit() else text


def _format_known(request: Request) -> bool:
    return request.query_params.get("format", "json") == "json"


def _words(stored: StoredFile) -> bytes:
    """Return a stored Neurosynth answer as it came, or an empty one where it is gone or damaged."""
    try:
        content = stored.read()
        document = orjson.loads(content)
    except (FileNotFoundError, ValueError):
        return _NO_WORDS
    data: Any = document.get("data") if isinstance(document, dict) else None
    return content if isinstance(data, dict) and isinstance(data.get("values"), dict) else _NO_WORDS


def _detail(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps({"detail": text}), status, headers, _JSON)


def _json(body: bytes) -> Response:
    return Response(body, media_type=_JSON)
