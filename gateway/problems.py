"""Problem documents (RFC 9457): the one form in which the gateway answers failures, with the status that fits."""

import math
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import grpc
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from domain.reasons import CHANGED_SINCE_INGEST, UNSUPPORTED_PICTURE
from rpc.errors import ServiceError, Unauthenticated

MEDIA_TYPE = "application/problem+json"
INFERENCE = "/v2"
"""The prefix of the Open Inference Protocol."""

_STATUS = {
    grpc.StatusCode.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    grpc.StatusCode.OUT_OF_RANGE: HTTPStatus.BAD_REQUEST,
    grpc.StatusCode.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    grpc.StatusCode.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    grpc.StatusCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS: HTTPStatus.CONFLICT,
    grpc.StatusCode.ABORTED: HTTPStatus.CONFLICT,
    grpc.StatusCode.FAILED_PRECONDITION: HTTPStatus.PRECONDITION_FAILED,
    grpc.StatusCode.RESOURCE_EXHAUSTED: HTTPStatus.TOO_MANY_REQUESTS,
    grpc.StatusCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: HTTPStatus.GATEWAY_TIMEOUT,
}
# Reasons for which HTTP has a better status than the one of their gRPC code.
_STATUS_OF_REASON = {
    UNSUPPORTED_PICTURE: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    CHANGED_SINCE_INGEST: HTTPStatus.CONFLICT,
}
# What Starlette's router says less clearly.
_DETAILS: dict[int, str] = {
    HTTPStatus.NOT_FOUND: "there is nothing at this address; /docs lists what there is",
    HTTPStatus.METHOD_NOT_ALLOWED: "this address does not take this method; /docs lists what it takes",
}

# A caller can make each value of a body wrong in its own way, so both the number and the length are limited.
_MAX_DETAIL = 1_000
_MAX_ERRORS = 16
_MAX_FIELD = 64


def status_of(error: ServiceError) -> HTTPStatus:
    """The HTTP status of an error."""
    return _STATUS_OF_REASON.get(error.reason) or _STATUS.get(error.code, HTTPStatus.INTERNAL_SERVER_ERROR)


def problem(status: int, detail: str, *, reason: str = "") -> dict[str, Any]:
    """A problem document; `reason` is for programs."""
    # A detail may quote what the caller sent.
    detail = detail if len(detail) <= _MAX_DETAIL else detail[: _MAX_DETAIL - 1] + "…"
    document: dict[str, Any] = {"title": HTTPStatus(status).phrase, "status": int(status), "detail": detail}
    return document | ({"reason": reason} if reason else {})


def problem_of(error: ServiceError) -> dict[str, Any]:
    """The problem document of an error."""
    return problem(status_of(error), error.message, reason=error.reason)


def problem_response(
    document: dict[str, Any], *, headers: dict[str, str] | None = None, **extensions: Any
) -> JSONResponse:
    """The response that carries a document with its extension members."""
    return JSONResponse(document | extensions, document["status"], headers=headers, media_type=MEDIA_TYPE)


def error_response(error: ServiceError, /, **extensions: Any) -> JSONResponse:
    """The response for an error."""
    headers = {}
    if error.retry_after_s is not None:
        # Whole seconds; 0 would mean at once.
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    response = problem_response(problem_of(error), headers=headers, **extensions)
    if isinstance(error, Unauthenticated):
        # Lines of their own, because Chromium reads one scheme from each. For Basic it asks people by itself.
        for challenge in ("Bearer", 'Basic realm="Fovea: a token as the password", charset="UTF-8"'):
            response.headers.append("WWW-Authenticate", challenge)
    return response


async def _service_error(request: Request, error: ServiceError) -> JSONResponse:
    return error_response(error, **_extensions(request, error.message))


async def _validation_error(request: Request, error: RequestValidationError) -> JSONResponse:
    errors = [{"field": _field(each["loc"]), "message": each["msg"]} for each in error.errors()[:_MAX_ERRORS]]
    detail = "; ".join(f"{each['field']}: {each['message']}" for each in errors)
    document = problem(HTTPStatus.BAD_REQUEST, detail)
    return problem_response(document, errors=errors, **_extensions(request, detail))


async def _http_exception(request: Request, error: HTTPException) -> JSONResponse:
    is_bare = error.detail == HTTPStatus(error.status_code).phrase
    detail = _DETAILS.get(error.status_code, error.detail) if is_bare else error.detail
    document = problem(error.status_code, detail)
    return problem_response(document, headers=dict(error.headers or {}), **_extensions(request, detail))


def _extensions(request: Request, detail: str) -> dict[str, Any]:
    """`error`, where clients of the Open Inference Protocol read what went wrong."""
    return {"error": detail[:_MAX_DETAIL]} if request.url.path.startswith(INFERENCE) else {}


def _field(location: tuple[int | str, ...]) -> str:
    """The path to a value, without FastAPI's first word (`body`, `query`) where more follows."""
    return ".".join(str(part)[:_MAX_FIELD] for part in location[1:] or location)


# Any other exception is a bug; RequestTelemetry answers it.
EXCEPTION_HANDLERS: dict[int | type[Exception], Callable[..., Any]] = {
    ServiceError: _service_error,
    RequestValidationError: _validation_error,
    HTTPException: _http_exception,
}
