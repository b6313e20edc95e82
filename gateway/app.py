"""The gateway's parts list: routes, limits and what they share."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from gateway import (
    collections,
    content,
    detect,
    docs,
    encoders,
    health,
    images,
    job_routes,
    openapi,
    problems,
    search,
    uploads,
)
from gateway.backends import open_backends
from gateway.budget import Budget
from gateway.head import HeadAsGet
from gateway.jobs import JobRegistry
from gateway.limits import BodyLimit, InFlightLimit
from gateway.pictures import Pictures
from gateway.security import OriginCheck, SecurityHeaders
from gateway.settings import GatewaySettings
from gateway.telemetry import RequestTelemetry

API = "/api/v1"
_PAGE = Path(__file__).parent / "page"
_PROBES = [prefix + path for prefix in ("", API) for path in health.PATHS]


def create_app(settings: GatewaySettings) -> FastAPI:
    """The whole gateway; it reaches for the services behind when it starts."""
    app = openapi.DocumentedApp(
        title="Fovea",
        summary="Finds pictures by picture, by object, by words and by sketch.",
        version=version("fovea"),
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=openapi.operation_id,
        lifespan=_lifespan,
        middleware=_middleware(settings),
    )
    app.state.settings = settings
    app.state.jobs = JobRegistry(settings.max_jobs)
    app.state.followers = Budget(settings.max_followers)
    problems.install(app)
    app.include_router(health.router, prefix=API, responses=problems.problems(HTTPStatus.MISDIRECTED_REQUEST))
    for part in (encoders, collections, search, uploads, images, content, detect, job_routes):
        app.include_router(part.router, prefix=API, responses=problems.problems(*problems.ANY_STATUSES))
    app.include_router(health.router, include_in_schema=False)
    app.include_router(docs.router)
    docs.mount_swagger_ui(app)
    app.include_router(_page_routes(app))
    app.mount("/page", StaticFiles(directory=_PAGE), name="page")
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: GatewaySettings = app.state.settings
    async with open_backends(settings) as backends:
        app.state.backends = backends
        app.state.pictures = Pictures(settings)
        yield
        await app.state.jobs.close()
        app.state.pictures.close()


def _middleware(settings: GatewaySettings) -> list[Middleware]:
    """From the outside in."""
    cors = [Middleware(CORSMiddleware, allow_origins=settings.cors_origins, allow_methods=["*"], allow_headers=["*"])]
    return [
        Middleware(HeadAsGet),
        Middleware(SecurityHeaders),
        Middleware(RequestTelemetry),
        *(cors if settings.cors_origins else []),
        Middleware(OriginCheck, hosts=settings.hosts, origins=settings.cors_origins),
        Middleware(
            BodyLimit,
            max_bytes=settings.max_body_mib << 20,
            budget=Budget(settings.max_bodies_mib << 20),
            timeout_s=settings.body_timeout_s,
        ),
        Middleware(InFlightLimit, max_in_flight=settings.max_in_flight, always=_PROBES),
    ]


def _page_routes(app: FastAPI) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def page() -> FileResponse:
        return FileResponse(_PAGE / "index.html")

    @router.get(f"{API}/openapi.json")
    async def openapi_document() -> dict[str, object]:
        return app.openapi()

    return router
