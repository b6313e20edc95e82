"""The search route: a query as a form or as JSON."""

from collections.abc import Set as AbstractSet
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat

from domain.box import Box
from domain.limits import MAX_PARTS
from fovea.search.v1 import search_pb2
from gateway.backends import CallOf
from gateway.bodies.forms import MULTIPART_TYPE, URLENCODED_TYPE, Form, read_form
from gateway.bodies.json_body import JSON_TYPE, media_type, off_loop, parse_json, unsupported, validated
from gateway.bodies.messages import read_json, to_json
from gateway.openapi import BODY_STATUSES, json_response, problem_responses, request_body, schema_of
from gateway.routes.collections import CollectionName
from rpc.errors import InvalidArgument
from rpc.messages import box_message

router = APIRouter(prefix="/collections/{name}", tags=["search"])

_MAX_FILES = 8
_EDGES = ("x_min", "y_min", "x_max", "y_max")
_CONTENTS = ("text", "image", "sketch", "image_id", "image_url")
_FILES = ("image", "sketch")
_Int32 = Annotated[int, Field(ge=-(2**31), lt=2**31)]


def _edges(value: Any) -> Any:
    """The four numbers of `0.1,0.2,0.5,0.6`, `[0.1, 0.2, 0.5, 0.6]` or `{"x_min": 0.1, …}`."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("{"):
        box = parse_json(value, "region")
        return [box.get(edge) for edge in _EDGES]
    return value.strip("[] ").split(",")


def _boxes(value: Any) -> Any:
    """Boxes in a JSON list, each as one of `_edges`."""
    boxes = parse_json(value, "regions") if isinstance(value, str) else value
    if not isinstance(boxes, list):
        raise InvalidArgument("regions: send a JSON list of boxes, [[0.1, 0.2, 0.5, 0.6], …]")
    return [[box.get(edge) for edge in _EDGES] if isinstance(box, dict) else box for box in boxes]


def _weights(value: Any) -> Any:
    return parse_json(value, "weights") if isinstance(value, str) else value


def _names(value: Any) -> Any:
    return [name.strip() for name in value.split(",")] if isinstance(value, str) else value


class QueryForm(BaseModel):
    """The fields of a query form besides its contents."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: Annotated[dict[str, FiniteFloat], BeforeValidator(_weights)] = Field(
        {}, description='A weight for each content, {"text": 1, "image": 0.5}.'
    )
    region: Annotated[Box, BeforeValidator(_edges)] | None = Field(
        None, description="x_min,y_min,x_max,y_max: the part of `image` to use, in normalized coordinates."
    )
    regions: Annotated[list[Box], BeforeValidator(_boxes)] = Field(
        [], description="A JSON list of boxes, [[0.1, 0.2, 0.5, 0.6], …]: parts of `image`, each a query."
    )
    detect: bool = Field(False, description="Make every object found in `image` a query.")
    match: Literal["any", "all"] = Field(
        "any", description="Whether any of several regions has to match, or all of them in one image."
    )
    limit: _Int32 = Field(0, description="The most hits to return; 0 means 10.")
    offset: _Int32 = Field(0, description="Hits to leave out at the front.")
    filter: str = Field("", description='A filter over metadata, for example `colour = "red"`.')
    min_score: FiniteFloat | None = Field(None, description="Leave out hits whose score is lower.")
    exact: bool = Field(False, description="Compare with every embedding instead of the index.")
    group_by_image: bool | None = Field(None, description="The best region of each image only; default true.")
    fold_copies: bool | None = Field(None, description="Fold exact copies into one hit; default true.")
    explain: bool = Field(False, description="Say how much each content contributed to each score.")
    group_near_duplicates: bool = Field(False, description="Fold the same photo at other sizes and crops into one hit.")
    diversity: FiniteFloat = Field(0.0, description="How much hits should differ from those before them, 0 to 1.")
    relevance: bool = Field(False, description="Return only hits that stand out from the rest, or none.")
    facets: Annotated[list[str], BeforeValidator(_names)] = Field(
        [], description="Fields whose values are counted among the first 1,000 hits, with commas between them."
    )
    page_token: str = Field(
        "", description="`next_page_token` of the page before: the query is in it, only `limit` may stand beside it."
    )


_FORM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "image": {"type": "string", "format": "binary", "description": "An image to look for."},
        "text": {"type": "string", "description": "Words that describe the image."},
        "sketch": {"type": "string", "format": "binary", "description": "A drawing of what to look for."},
        "image_id": {"type": "string", "description": "An image stored in this collection."},
        "image_url": {
            "type": "string",
            "description": "The https URL of an image to look for, where that is switched on.",
        },
        **QueryForm.model_json_schema()["properties"],
    },
}
_BODY = {
    MULTIPART_TYPE: {"schema": _FORM_SCHEMA},
    JSON_TYPE: {
        "schema": schema_of(search_pb2.SearchRequest.DESCRIPTOR),
        "example": {"parts": [{"image_id": "0123456789abcdef0123456789abcdef"}], "limit": 10},
    },
}


@router.post(
    "/search",
    openapi_extra=request_body(_BODY),
    responses={
        200: json_response(schema_of(search_pb2.SearchResponse.DESCRIPTOR), "What was found, best first."),
        **problem_responses(*BODY_STATUSES, 404, 412),
    },
)
async def search(name: CollectionName, request: Request, call: CallOf) -> dict[str, Any]:
    """Find images with a query made of parts: words, images, sketches, stored images, embeddings."""
    query = await _read_query(request, name)
    response = await call.unary("search", call.backends.search.Search, query)
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


def query_of_form(form: Form, collection: str) -> search_pb2.SearchRequest:
    """The search request that a form describes."""
    contents = _contents(form)
    fields = _fields(form, contents.keys())
    return search_pb2.SearchRequest(
        collection=collection,
        parts=[_part(name, content, fields) for name, content in contents.items()],
        limit=fields.limit,
        offset=fields.offset,
        filter=fields.filter,
        min_score=fields.min_score,
        exact=fields.exact,
        group_by_image=fields.group_by_image,
        fold_copies=fields.fold_copies,
        explain=fields.explain,
        group_near_duplicates=fields.group_near_duplicates,
        diversity=fields.diversity,
        relevance=fields.relevance,
        facets=fields.facets,
        page_token=fields.page_token,
    )


def _contents(form: Form) -> dict[str, str | bytes]:
    contents = {name: form.file(name) if name in _FILES else form.fields.get(name) for name in _CONTENTS}
    if unknown := next((file.field for file in form.files if file.field not in _FILES), None):
        raise InvalidArgument(f"{unknown}: send words, not a file")
    return {name: content for name, content in contents.items() if content is not None}


def _fields(form: Form, contents: AbstractSet[str]) -> QueryForm:
    fields = validated(QueryForm, {name: value for name, value in form.fields.items() if name not in _CONTENTS})
    if unknown := set(fields.weights) - set(_CONTENTS):
        raise InvalidArgument(f"weights: {min(unknown)!r} is none of {', '.join(_CONTENTS)}")
    if (fields.region or fields.regions or fields.detect) and not ({"image", "image_url"} & contents):
        raise InvalidArgument("region, regions and detect need an image")
    return fields


def _part(name: str, content: str | bytes, fields: QueryForm) -> search_pb2.QueryPart:
    part = search_pb2.QueryPart(**{name: content}, weight=fields.weights.get(name))  # type: ignore[arg-type]
    if name in ("image", "image_url", "image_id") and fields.match == "all":
        part.match = search_pb2.REGION_MATCH_ALL
    if name in ("image", "image_url"):
        part.detect = fields.detect
        part.regions.extend(map(box_message, fields.regions))
        if fields.region is not None:
            part.region.CopyFrom(box_message(fields.region))
    return part
