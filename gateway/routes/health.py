"""Routes for operators: alive, ready, metrics."""

import asyncio
from http import HTTPStatus

import grpc
from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from gateway.backends import CallOf
from rpc.health import READINESS

router = APIRouter(tags=["health"])

PATHS = ("/healthz", "/readyz", "/metrics")

_CHECK_TIMEOUT_S = 2.0


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Answer that the gateway is alive."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"description": "A service is not ready."}})
async def readyz(call: CallOf) -> JSONResponse:
    """Check whether the services can answer, each by name."""
    statuses = await asyncio.gather(*map(_status_of, call.backends.health.values()))
    services = dict(zip(call.backends.health, statuses, strict=True))
    if all(status == "SERVING" for status in statuses):
        return JSONResponse({"status": "ready", "services": services})
    return JSONResponse({"status": "not ready", "services": services}, HTTPStatus.SERVICE_UNAVAILABLE)


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
