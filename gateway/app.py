"""The gateway's parts: routes, middleware and what they share."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.metadata import version

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware

from domain.reasons import FOLLOWER_LIMIT
from gateway.backends import open_backends
from gateway.image_files import ImageFiles
from gateway.middleware.head import HeadAsGet
from gateway.middleware.limits import BodyLimit, InFlightLimit
from gateway.middleware.security import OriginCheck, SecurityHeaders
from gateway.middleware.telemetry import RequestTelemetry
from gateway.middleware.tokens import TokenCheck
from gateway.openapi import ANY_STATUSES, DocumentedApp, problem_responses
from gateway.problems import EXCEPTION_HANDLERS
from gateway.routes import (
    collections,
    embeddings,
    encoding,
    facets,
    folders,
    health,
    images,
    inference,
    jobs,
    models,
    pages,
    search,
    uploads,
)
from gateway.settings import GatewaySettings
from rpc.permits import Permits
from rpc.security.process import PLAIN, Security

API = "/api/v1"
_PROBES = [prefix + path for prefix in ("", API) for path in health.PATHS]


def create_app(settings: GatewaySettings, security: Security = PLAIN) -> FastAPI:
    """The whole gateway; it connects to the services when it starts."""
    app = DocumentedApp(
        title="Fovea",
        summary="Finds images by example, by object, by words and by sketch.",
        version=version("fovea"),
        docs_url=None,
        redoc_url=None,
        # Generated clients then have `search()` instead of `search_api_v1_collections…`.
        generate_unique_id_function=lambda route: route.name,
        lifespan=_lifespan,
        middleware=_middleware(settings, security),
        exception_handlers=EXCEPTION_HANDLERS,
    )
    app.state.settings = settings
    app.state.security = security
    message = "too many follow jobs at once; ask for the job itself now and then"
    app.state.is_closing = asyncio.Event()
    app.state.followers = Permits(settings.max_followers, reason=FOLLOWER_LIMIT, message=message)
    app.include_router(health.router, prefix=API, responses=problem_responses(HTTPStatus.MISDIRECTED_REQUEST))
    for part in (models, encoding, collections, search, facets, uploads, images, folders, jobs):
        app.include_router(part.router, prefix=API, responses=problem_responses(*ANY_STATUSES))
    # Under the addresses that clients of OpenAI's API and of the Open Inference Protocol append to their base URL.
    for part in (embeddings, inference):
        app.include_router(part.router, responses=problem_responses(*ANY_STATUSES))
    app.include_router(health.router, include_in_schema=False)
    app.include_router(pages.router)
    pages.mount_pages(app)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: GatewaySettings = app.state.settings
    async with open_backends(settings, app.state.security) as backends:
        app.state.backends = backends
        app.state.image_files = ImageFiles(settings)
        yield
        app.state.image_files.close()


def _middleware(settings: GatewaySettings, security: Security) -> list[Middleware]:
    """From the outside in."""
    cors = [Middleware(CORSMiddleware, allow_origins=settings.cors_origins, allow_methods=["*"], allow_headers=["*"])]
    return [
        Middleware(HeadAsGet),
        Middleware(SecurityHeaders),
        Middleware(RequestTelemetry),
        *(cors if settings.cors_origins else []),
        # What the next four raise is answered here; FastAPI answers what the routes raise.
        Middleware(ExceptionMiddleware, handlers=EXCEPTION_HANDLERS),
        Middleware(OriginCheck, hosts=settings.hosts, origins=settings.cors_origins),
        Middleware(TokenCheck, access=security.access, always=[*_PROBES, *pages.OPEN]),
        # A body arrives before its request counts as in flight, so that slow senders do not use the limit up.
        Middleware(
            BodyLimit,
            max_bytes=settings.max_body_mib << 20,
            max_total_bytes=settings.max_bodies_mib << 20,
            timeout_s=settings.body_timeout_s,
        ),
        Middleware(InFlightLimit, max_in_flight=settings.max_in_flight, always=_PROBES),
    ]
