"""Routes for operators: alive, ready, metrics."""

import asyncio
from http import HTTPStatus

import grpc
from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from gateway.backends import BackendsOf
from rpc.health import READINESS

router = APIRouter(tags=["health"])

PATHS = ("/healthz", "/readyz", "/metrics")

_CHECK_TIMEOUT_S = 2.0


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Tell that the gateway is alive."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"description": "A service behind is not ready."}})
async def readyz(backends: BackendsOf) -> JSONResponse:
    """Tell whether the services behind can answer, each by name."""
    statuses = await asyncio.gather(*(_status_of(stub) for stub in backends.health.values()))
    is_ready = all(status == "SERVING" for status in statuses)
    return JSONResponse(
        {
            "status": "ready" if is_ready else "not ready",
            "services": dict(zip(backends.health, statuses, strict=True)),
        },
        HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE,
    )


@router.get("/metrics", response_class=Response)
async def metrics() -> Response:
    """The gateway's Prometheus metrics."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def _status_of(stub: health_pb2_grpc.HealthStub) -> str:
    request = health_pb2.HealthCheckRequest(service=READINESS)
    try:
        answer = await stub.Check(request, timeout=_CHECK_TIMEOUT_S)
    except grpc.RpcError as error:
        return str(error.code().name)
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
