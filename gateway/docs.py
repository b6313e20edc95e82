"""The API's documentation page: Swagger UI from an installed package, so that it works offline and under our CSP."""

from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

router = APIRouter(include_in_schema=False)

_PAGE = Path(__file__).parent / "page"


@router.get("/docs")
@router.get("/api/v1/docs")
async def docs() -> FileResponse:
    """The documentation page."""
    return FileResponse(_PAGE / "docs.html")


def mount_swagger_ui(app: FastAPI) -> None:
    """Serves the scripts and styles of the documentation page."""
    app.mount("/swagger-ui", StaticFiles(directory=Path(str(files("fastapi_offline") / "static"))), name="swagger-ui")
