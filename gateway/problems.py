"""Problem documents: every failure leaves the gateway as RFC 9457 JSON with the right status and one useful sentence."""

import logging
import math
from http import HTTPStatus
from typing import Any

import grpc
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from rpc.errors import Internal, ServiceError

MEDIA_TYPE = "application/problem+json"

_log = logging.getLogger(__name__)

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


_STATUS_OF_REASON = {
    "UNSUPPORTED_PICTURE": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "CHANGED_SINCE_INGEST": HTTPStatus.CONFLICT,
}

# What any route may answer, and what routes with a body may answer besides.
ANY_STATUSES = (421, 429, 500, 503, 504)
BODY_STATUSES = (400, 403, 408, 413, 415)

SCHEMA = {
    "type": "object",
    "title": "Problem",
    "description": "What went wrong (RFC 9457).",
    "required": ["title", "status", "detail"],
    "properties": {
        "title": {"type": "string", "description": "The name of the status."},
        "status": {"type": "integer", "description": "The HTTP status."},
        "detail": {"type": "string", "description": "One sentence that says what to do."},
        "reason": {"type": "string", "description": "A name of the cause, for programs."},
    },
}

_MAX_DETAIL = 1_000
_MAX_ERRORS = 16
_MAX_FIELD = 64


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses for these statuses."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in sorted(statuses)}


def status_of(error: ServiceError) -> HTTPStatus:
    """The HTTP status of what a service said."""
    return _STATUS_OF_REASON.get(error.reason) or _STATUS.get(error.code, HTTPStatus.INTERNAL_SERVER_ERROR)


def problem(status: int, detail: str, *, reason: str = "") -> dict[str, Any]:
    """A problem document; `reason` is for programs. A detail may repeat what the caller sent, so it is cut."""
    detail = detail if len(detail) <= _MAX_DETAIL else detail[: _MAX_DETAIL - 1] + "…"
    document: dict[str, Any] = {"title": HTTPStatus(status).phrase, "status": int(status), "detail": detail}
    return document | ({"reason": reason} if reason else {})


def problem_of(error: ServiceError) -> dict[str, Any]:
    """The problem document of what a service said."""
    return problem(status_of(error), error.message, reason=error.reason)


def problem_response(
    document: dict[str, Any], *, headers: dict[str, str] | None = None, **extensions: Any
) -> JSONResponse:
    """The document as an answer; extension members ride along."""
    return JSONResponse(document | extensions, document["status"], headers=headers, media_type=MEDIA_TYPE)


def error_response(error: ServiceError) -> JSONResponse:
    """What a service said, as an answer."""
    headers = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    return problem_response(problem_of(error), headers=headers)


def install(app: FastAPI) -> None:
    """Makes every exception that leaves a route a problem document."""
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(Exception, _bug)


async def _service_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ServiceError)
    return error_response(error)


async def _validation_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    # Each value of a body may be wrong in a way of its own; people mend a few at a time.
    errors = [{"field": _field(each["loc"]), "message": each["msg"]} for each in error.errors()[:_MAX_ERRORS]]
    detail = "; ".join(f"{each['field']}: {each['message']}" for each in errors)
    return problem_response(problem(HTTPStatus.BAD_REQUEST, detail), errors=errors)


async def _http_exception(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    detail = error.detail
    if detail == HTTPStatus(error.status_code).phrase:
        detail = _SENTENCES.get(error.status_code, detail)
    return problem_response(problem(error.status_code, detail), headers=dict(error.headers or {}))


async def _bug(_: Request, error: Exception) -> JSONResponse:
    _log.error("a request failed", exc_info=error)
    return error_response(Internal("an internal error; see the gateway's log"))


_SENTENCES: dict[int, str] = {
    HTTPStatus.NOT_FOUND: "there is nothing at this address; /docs lists what there is",
    HTTPStatus.METHOD_NOT_ALLOWED: "this address does not take this method; /docs lists what it takes",
}


def _field(location: tuple[int | str, ...]) -> str:
    """Where a value came from, without FastAPI's own first word where more follows."""
    return ".".join(str(part)[:_MAX_FIELD] for part in location[1:] or location)
