"""The search route: a query as a form or as JSON in, hits out."""

from typing import Any

from fastapi import APIRouter, Request

from domain.limits import MAX_PARTS
from fovea.search.v1 import search_pb2
from gateway.backends import BackendsOf, CallOf
from gateway.bodies import JSON_TYPE, media_type, off_loop, parse_json, read_form, unsupported
from gateway.collections import CollectionName
from gateway.forms import MULTIPART_TYPE, URLENCODED_TYPE
from gateway.messages import json_answer, read_json, schema_of, to_json
from gateway.problems import BODY_STATUSES, problems
from gateway.query_form import QueryForm, query_of_form
from rpc.errors import InvalidArgument, service_errors

router = APIRouter(prefix="/collections/{name}", tags=["search"])

_MAX_FILES = 8

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
        MULTIPART_TYPE: {"schema": _FORM_SCHEMA},
        JSON_TYPE: {
            "schema": schema_of(search_pb2.SearchRequest.DESCRIPTOR),
            "example": {"parts": [{"image_id": "0123456789abcdef0123456789abcdef"}], "limit": 10},
        },
    },
}


@router.post(
    "/search",
    openapi_extra={"requestBody": _BODY},
    responses={
        200: json_answer(search_pb2.SearchResponse.DESCRIPTOR, "What was found, best first."),
        **problems(*BODY_STATUSES, 404, 412),
    },
)
async def search(name: CollectionName, request: Request, backends: BackendsOf, call: CallOf) -> dict[str, Any]:
    """Find pictures with a query made of parts: words, pictures, sketches, stored pictures, embeddings."""
    query = await _read_query(request, name)
    with service_errors("search"):
        response = await backends.search.Search(query, timeout=call.timeout_s, metadata=call.metadata)
    return to_json(response)


async def _read_query(request: Request, collection: str) -> search_pb2.SearchRequest:
    if media_type(request) == JSON_TYPE:
        body = await request.body()
        return await off_loop(lambda: _query_of_json(body, collection), len(body))
    if media_type(request) not in (MULTIPART_TYPE, URLENCODED_TYPE):
        raise unsupported(f"send the query as {MULTIPART_TYPE} or {JSON_TYPE}")
    return query_of_form(await read_form(request, max_files=_MAX_FILES), collection)


def _query_of_json(body: bytes, collection: str) -> search_pb2.SearchRequest:
    fields = parse_json(body)
    if not isinstance(fields, dict):
        raise InvalidArgument("the body must be a JSON object with parts")
    parts = fields.get("parts", ())
    if isinstance(parts, list) and len(parts) > MAX_PARTS:
        raise InvalidArgument(f"parts: a query has at most {MAX_PARTS}, this one has {len(parts):,}")
    query = read_json(fields, search_pb2.SearchRequest())
    if query.collection not in ("", collection):
        raise InvalidArgument(f"collection: the address names {collection!r}, the body {query.collection!r}")
    query.collection = collection
    return query
