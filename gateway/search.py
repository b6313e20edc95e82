"""The search route: a query as a form or as JSON in, hits out."""

import json
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException

from fovea.search.v1 import search_pb2
from gateway.backends import BackendsOf, CallOf
from gateway.collections import CollectionName
from gateway.messages import json_answer, read_json, schema_of, to_json
from gateway.query_form import QueryForm, read_query_form
from rpc.errors import InvalidArgument, service_errors

router = APIRouter(prefix="/collections/{name}", tags=["search"])

_FORM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "image": {"type": "string", "format": "binary", "description": "A picture to look for."},
        "text": {"type": "string", "description": "Words that describe the picture."},
        "sketch": {"type": "string", "format": "binary", "description": "A drawing of what to look for."},
        "image_id": {"type": "string", "description": "A picture stored in this collection."},
        **QueryForm.model_json_schema()["properties"],
    },
}
_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {"schema": _FORM_SCHEMA},
        "application/json": {
            "schema": schema_of(search_pb2.SearchRequest.DESCRIPTOR),
            "example": {"parts": [{"image_id": "0123456789abcdef0123456789abcdef"}], "limit": 10},
        },
    },
}


@router.post(
    "/search",
    openapi_extra={"requestBody": _BODY},
    responses={200: json_answer(search_pb2.SearchResponse.DESCRIPTOR, "What was found, best first.")},
)
async def search(name: CollectionName, request: Request, backends: BackendsOf, call: CallOf) -> dict[str, Any]:
    """Find pictures with a query made of parts: words, pictures, sketches, stored pictures, embeddings."""
    query = await _read_query(request, name)
    with service_errors("search"):
        response = await backends.search.Search(query, timeout=call.timeout_s, metadata=call.metadata)
    return to_json(response)


async def _read_query(request: Request, collection: str) -> search_pb2.SearchRequest:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == "application/json":
        return _read_query_json(await request.body(), collection)
    if content_type in ("multipart/form-data", "application/x-www-form-urlencoded"):
        async with request.form(max_files=8, max_fields=64) as form:
            return await read_query_form(form, collection)
    raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send the query as multipart/form-data or application/json")


def _read_query_json(body: bytes, collection: str) -> search_pb2.SearchRequest:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"the body is no JSON: {error}") from error
    if not isinstance(fields, dict):
        raise InvalidArgument("the body must be a JSON object with parts")
    query = read_json(fields, search_pb2.SearchRequest())
    if query.collection not in ("", collection):
        raise InvalidArgument(f"collection: the address names {collection!r}, the body {query.collection!r}")
    query.collection = collection
    return query
