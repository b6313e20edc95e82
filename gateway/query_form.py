"""A query as a multipart form: its fields, and the search request that they stand for."""

import json
from typing import Annotated, Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Json, ValidationError
from starlette.datastructures import FormData, UploadFile

from fovea.search.v1 import search_pb2
from rpc.clients import Box, box_message
from rpc.errors import InvalidArgument

_EDGES = ("x_min", "y_min", "x_max", "y_max")
_CONTENTS = ("text", "image", "sketch", "image_id")
_FILES = ("image", "sketch")
_Int32 = Annotated[int, Field(ge=-(2**31), lt=2**31)]


def _edges(value: Any) -> Any:
    """The four numbers of `0.1,0.2,0.5,0.6`, `[0.1, 0.2, 0.5, 0.6]` or `{"x_min": 0.1, …}`."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("{"):
        box = json.loads(value)
        return [box.get(edge) for edge in _EDGES]
    return value.strip("[] ").split(",")


class QueryForm(BaseModel):
    """The fields of a query form beside its contents."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: Json[dict[str, float]] = Field({}, description='A weight for each content, {"text": 1, "image": 0.5}.')
    region: Annotated[Box, BeforeValidator(_edges)] | None = Field(
        None, description="x_min,y_min,x_max,y_max: the part of `image` to use, as shares of width and height."
    )
    detect: bool = Field(False, description="Make every object found in `image` a query.")
    limit: _Int32 = Field(0, description="The most hits to return; 0 means 10.")
    offset: _Int32 = Field(0, description="Hits to leave out at the front.")
    filter: str = Field("", description='A filter over metadata, for example `colour = "red"`.')
    min_score: float | None = Field(None, description="Leave out hits whose score is lower.")
    exact: bool = Field(False, description="Compare with every embedding instead of the index.")
    group_by_image: bool | None = Field(None, description="The best region of each image only; default true.")
    fold_copies: bool | None = Field(None, description="Fold exact copies into one hit; default true.")


async def read_query_form(form: FormData, collection: str) -> search_pb2.SearchRequest:
    """The search request that a form stands for; an empty field counts as absent."""
    contents = await _contents(form)
    fields = _fields(form)
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
    )


async def read_file(form: FormData, name: str) -> bytes | None:
    """The bytes of a form's file; None where the field is absent or was left empty."""
    value = form.get(name)
    if isinstance(value, UploadFile):
        # A browser sends a file field that nothing was chosen for as an empty file without a name.
        return await value.read() if value.filename or value.size else None
    if value:
        raise InvalidArgument(f"{name}: send the picture as a file of the form, not as text")
    return None


async def _contents(form: FormData) -> dict[str, str | bytes]:
    contents: dict[str, str | bytes] = {}
    for name in _CONTENTS:
        if len(form.getlist(name)) > 1:
            raise InvalidArgument(f"{name}: a form takes one; send JSON with parts to combine several")
        value = await read_file(form, name) if name in _FILES else form.get(name)
        if isinstance(value, UploadFile):
            raise InvalidArgument(f"{name}: send words, not a file")
        if value is not None and value != "":
            contents[name] = value
    return contents


def _fields(form: FormData) -> QueryForm:
    values = {name: value for name, value in form.items() if name not in _CONTENTS and value != ""}
    try:
        fields = QueryForm.model_validate(values)
    except ValidationError as error:
        raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in error.errors()]) from error
    if unknown := set(fields.weights) - set(_CONTENTS):
        raise InvalidArgument(f"weights: {min(unknown)!r} is none of {', '.join(_CONTENTS)}")
    if "image" not in form and (fields.region or fields.detect):
        raise InvalidArgument("region and detect need an image")
    return fields


def _part(name: str, content: str | bytes, fields: QueryForm) -> search_pb2.QueryPart:
    part = search_pb2.QueryPart(**{name: content}, weight=fields.weights.get(name))  # type: ignore[arg-type]
    if name == "image":
        part.detect = fields.detect
        if fields.region is not None:
            part.region.CopyFrom(box_message(fields.region))
    return part
