"""A query as a multipart form: its fields, and the search request that they stand for."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat

from domain.box import Box
from fovea.search.v1 import search_pb2
from gateway.bodies import parse_json, validated
from gateway.forms import Form
from rpc.errors import InvalidArgument
from rpc.messages import box_message

_EDGES = ("x_min", "y_min", "x_max", "y_max")
_CONTENTS = ("text", "image", "sketch", "image_id")
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


def _weights(value: Any) -> Any:
    return parse_json(value, "weights") if isinstance(value, str) else value


class QueryForm(BaseModel):
    """The fields of a query form beside its contents."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: Annotated[dict[str, FiniteFloat], BeforeValidator(_weights)] = Field(
        {}, description='A weight for each content, {"text": 1, "image": 0.5}.'
    )
    region: Annotated[Box, BeforeValidator(_edges)] | None = Field(
        None, description="x_min,y_min,x_max,y_max: the part of `image` to use, as shares of width and height."
    )
    detect: bool = Field(False, description="Make every object found in `image` a query.")
    limit: _Int32 = Field(0, description="The most hits to return; 0 means 10.")
    offset: _Int32 = Field(0, description="Hits to leave out at the front.")
    filter: str = Field("", description='A filter over metadata, for example `colour = "red"`.')
    min_score: FiniteFloat | None = Field(None, description="Leave out hits whose score is lower.")
    exact: bool = Field(False, description="Compare with every embedding instead of the index.")
    group_by_image: bool | None = Field(None, description="The best region of each image only; default true.")
    fold_copies: bool | None = Field(None, description="Fold exact copies into one hit; default true.")


def query_of_form(form: Form, collection: str) -> search_pb2.SearchRequest:
    """The search request that a form stands for; an empty field counts as absent."""
    contents = _contents(form)
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


def _contents(form: Form) -> dict[str, str | bytes]:
    contents = {name: form.file(name) if name in _FILES else form.fields.get(name) for name in _CONTENTS}
    if unknown := next((file.field for file in form.files if file.field not in _FILES), None):
        raise InvalidArgument(f"{unknown}: send words, not a file")
    return {name: content for name, content in contents.items() if content is not None}


def _fields(form: Form) -> QueryForm:
    fields = validated(QueryForm, {name: value for name, value in form.fields.items() if name not in _CONTENTS})
    if unknown := set(fields.weights) - set(_CONTENTS):
        raise InvalidArgument(f"weights: {min(unknown)!r} is none of {', '.join(_CONTENTS)}")
    if (fields.region or fields.detect) and form.file("image") is None:
        raise InvalidArgument("region and detect need an image")
    return fields


def _part(name: str, content: str | bytes, fields: QueryForm) -> search_pb2.QueryPart:
    part = search_pb2.QueryPart(**{name: content}, weight=fields.weights.get(name))  # type: ignore[arg-type]
    if name == "image":
        part.detect = fields.detect
        if fields.region is not None:
            part.region.CopyFrom(box_message(fields.region))
    return part
