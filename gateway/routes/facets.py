"""The facets route: which values the metadata of a collection have, for a page that offers them as choices."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from fovea.search.v1 import search_pb2
from gateway.backends import CallOf
from gateway.bodies.messages import to_json
from gateway.openapi import json_response, problem_responses, schema_of
from gateway.routes.collections import CollectionName

router = APIRouter(prefix="/collections/{name}", tags=["search"])

_FACETS = schema_of(search_pb2.CountFacetsResponse.DESCRIPTOR)


@router.get(
    "/facets",
    responses={200: json_response(_FACETS, "The values and their counts."), **problem_responses(400, 404, 412)},
)
async def count_facets(
    *,
    name: CollectionName,
    call: CallOf,
    field: Annotated[
        list[str], Query(description="A metadata key, `$camera` or `$lens`; may be given again.", examples=[["colour"]])
    ] = [],  # noqa: B006 - FastAPI copies it
    filter: Annotated[str, Query(description="Only these, for example `price < 20`.")] = "",  # noqa: A002 - the contract's word
) -> dict[str, Any]:
    """Count the values of fields in a collection, or in a random sample of a large one."""
    request = search_pb2.CountFacetsRequest(collection=name, fields=field, filter=filter)
    response = await call.unary("search", call.backends.search.CountFacets, request)
    return to_json(response)
