"""Routes for browsers: the page, the OpenAPI document, and Swagger UI on it.

Swagger UI comes from an installed package, so that it works offline and under our content security policy.
"""

from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

router = APIRouter(include_in_schema=False)

_PAGE = Path(__file__).parents[1] / "page"


@router.get("/")
async def page() -> FileResponse:
    """The page."""
    return FileResponse(_PAGE / "index.html")


@router.get("/docs")
@router.get("/api/v1/docs")
async def docs() -> FileResponse:
    """The page with Swagger UI."""
    return FileResponse(_PAGE / "docs.html")


@router.get("/api/v1/openapi.json")
async def openapi_document(request: Request) -> dict[str, object]:
    """The OpenAPI document, which FastAPI itself serves at the root only."""
    app: FastAPI = request.app
    return app.openapi()


def mount_files(app: FastAPI) -> None:
    """Serves the scripts and styles of both pages."""
    app.mount("/page", StaticFiles(directory=_PAGE), name="page")
    app.mount("/swagger-ui", StaticFiles(directory=Path(str(files("fastapi_offline") / "static"))), name="swagger-ui")
