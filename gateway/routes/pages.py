"""Routes for browsers: the page, the OpenAPI document, and Swagger UI on it.

Swagger UI comes from an installed package, so that it works offline and under our content security policy.
"""

import hashlib
from importlib.resources import files
from os import PathLike, stat_result
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import Headers
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

router = APIRouter(include_in_schema=False)

# What browsers fetch before they can send a token; it holds no data.
OPEN = ("/", "/docs", "/openapi.json", "/api/v1/docs", "/api/v1/openapi.json", "/page/", "/swagger-ui/")

_PAGE = Path(__file__).parents[1] / "page"
_SWAGGER_UI = Path(str(files("fastapi_offline") / "static"))
_UNCHANGING = "public, max-age=31536000, immutable"
_SMALLEST_COMPRESSED_BYTES = 500


class UnchangingFiles(StaticFiles):
    """Files that a browser keeps: their address holds their digest, so other content has another address."""

    def file_response(
        self, full_path: str | PathLike[str], stat_result: stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """The file, or 304 where the browser has it."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["Cache-Control"] = _UNCHANGING
        return response


class HtmlPage:
    """A page whose scripts and styles are loaded from addresses that change with them."""

    def __init__(self, file: Path, addresses: dict[str, str]) -> None:
        text = file.read_text()
        for folder, address in addresses.items():
            text = text.replace(f'="{folder}/', f'="{address}/')
        self._text = text
        self._etag = f'"{hashlib.sha256(text.encode()).hexdigest()[:16]}"'

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers with the page, or 304 where the browser has it: it asks each time, and so never mixes two releases."""
        headers = {"ETag": self._etag}
        response: Response = HTMLResponse(self._text, headers=headers)
        if self._etag in Headers(scope=scope).get("if-none-match", ""):
            response = Response(status_code=304, headers=headers)
        await response(scope, receive, send)


@router.get("/api/v1/openapi.json")
async def openapi_document(request: Request) -> dict[str, object]:
    """The OpenAPI document, which FastAPI itself serves at the root only."""
    app: FastAPI = request.app
    return app.openapi()


def mount_pages(app: FastAPI) -> None:
    """Serves the page and Swagger UI with their files."""
    folders = {"/page": _PAGE, "/swagger-ui": _SWAGGER_UI}
    addresses = {name: f"{name}/{_digest(folder)}" for name, folder in folders.items()}
    for name, folder in folders.items():
        app.mount(addresses[name], GZipMiddleware(UnchangingFiles(directory=folder), _SMALLEST_COMPRESSED_BYTES))
    for path, file in (("/", "index.html"), ("/docs", "docs.html"), ("/api/v1/docs", "docs.html")):
        page = HtmlPage(_PAGE / file, addresses)
        app.router.routes.append(Route(path, GZipMiddleware(page), include_in_schema=False))


def _digest(folder: Path) -> str:
    """Stands for the names and bytes of a folder's files."""
    digest = hashlib.sha256()
    for file in sorted(each for each in folder.rglob("*") if each.is_file()):
        digest.update(f"{file.relative_to(folder)}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]
