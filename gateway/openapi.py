"""The OpenAPI document: FastAPI's own, with our messages as schemas and the problems that routes really answer."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.bodies.messages import WELL_KNOWN
from gateway.problems import MEDIA_TYPE

# The problems that any route may answer, and those of routes that read a body besides.
ANY_STATUSES = (401, 403, 421, 429, 500, 503, 504)
BODY_STATUSES = (400, 408, 413, 415)

_PROBLEM_SCHEMA = {
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
_SCALARS: dict[int, dict[str, Any]] = {
    FieldDescriptor.CPPTYPE_STRING: {"type": "string"},
    FieldDescriptor.CPPTYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.CPPTYPE_FLOAT: {"type": "number"},
    FieldDescriptor.CPPTYPE_DOUBLE: {"type": "number"},
    FieldDescriptor.CPPTYPE_INT32: {"type": "integer"},
    FieldDescriptor.CPPTYPE_UINT32: {"type": "integer"},
    FieldDescriptor.CPPTYPE_INT64: {"type": "integer"},
    FieldDescriptor.CPPTYPE_UINT64: {"type": "integer"},
}


class DocumentedApp(FastAPI):
    """An application whose OpenAPI document names the problems that it answers."""

    def openapi(self) -> dict[str, Any]:
        """The document; it is made on the first call."""
        if self.openapi_schema is None:
            self.openapi_schema = _with_problems(super().openapi())
        return self.openapi_schema


def _with_problems(document: dict[str, Any]) -> dict[str, Any]:
    # FastAPI adds a 422 to every route with parameters; here such a request is answered with a 400.
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = _PROBLEM_SCHEMA
    # Tokens are optional for the contract: whether callers need one is the operator's choice.
    document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{}, {"token": []}]
    return document


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Responses that are problems with these statuses."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in sorted(statuses)}


def json_response(schema: dict[str, Any], description: str) -> dict[str, Any]:
    """A response that carries JSON."""
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def request_body(content: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The part of an operation that describes its request body, by media type."""
    return {"requestBody": {"required": True, "content": content}}


def schema_of(descriptor: Descriptor) -> dict[str, Any]:
    """The JSON schema of a message as `to_json` writes it."""
    if descriptor.full_name in WELL_KNOWN:
        return WELL_KNOWN[descriptor.full_name]
    values = {field: _schema_of_value(field) for field in descriptor.fields}
    properties = {
        field.name: {"type": "array", "items": value} if field.is_repeated else value for field, value in values.items()
    }
    return {"type": "object", "title": descriptor.name, "properties": properties}


def _schema_of_value(field: FieldDescriptor) -> dict[str, Any]:
    if field.type == FieldDescriptor.TYPE_BYTES:
        return {"type": "string", "contentEncoding": "base64"}
    if field.message_type is not None:
        return schema_of(field.message_type)
    if field.enum_type is not None:
        return {"type": "string", "enum": [value.name for value in field.enum_type.values]}
    return _SCALARS[field.cpp_type]
