"""Routes of collections: list, create, read, update and delete."""

from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, ConfigDict, Field

from fovea.ingest.v1 import ingest_pb2
from gateway.backends import CallOf
from gateway.bodies.json_body import JSON_TYPE, json_body
from gateway.bodies.messages import to_json
from gateway.openapi import BODY_STATUSES, json_response, problem_responses, request_body, schema_of

router = APIRouter(prefix="/collections", tags=["collections"])

CollectionName = Annotated[str, Path(description="The collection's name.", examples=["photos"])]

_COLLECTION = schema_of(ingest_pb2.Collection.DESCRIPTOR)
_COLLECTIONS = schema_of(ingest_pb2.ListCollectionsResponse.DESCRIPTOR)

_Mode = Literal[
    "whole_image", "objects", "WHOLE_IMAGE", "OBJECTS", "COLLECTION_MODE_WHOLE_IMAGE", "COLLECTION_MODE_OBJECTS"
]


class CollectionBody(BaseModel):
    """A collection to create."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(description="`[a-z][a-z0-9_]{0,62}`.", examples=["photos"])
    encoder: str = Field(
        "", description="The bundle that embeds its images, see /encoders; empty: the default.", examples=["general"]
    )
    mode: _Mode = Field("whole_image", description="One embedding for each image, or for each object found in it.")
    detector: str = Field("", description="The bundle that finds its objects, in objects mode; empty: the default.")
    index: str = Field("", description="The Milvus index type; empty: HNSW on a server, FLAT embedded.")
    display_name: str = Field("", description="What people call it; empty: its name.", examples=["My photos"])


class CollectionChange(BaseModel):
    """What to change of a collection."""

    model_config = ConfigDict(frozen=True)

    name: str = Field("", description="The new name, `[a-z][a-z0-9_]{0,62}`; empty: it keeps its name.")
    display_name: str | None = Field(
        None, description="What people call it; empty removes it, null keeps it.", examples=["My holidays"]
    )


@router.get("", responses={200: json_response(_COLLECTIONS, "All collections by name, with their counts.")})
async def list_collections(call: CallOf) -> dict[str, Any]:
    """List all collections with their counts."""
    response = await call.unary("ingest", call.backends.ingest.ListCollections, ingest_pb2.ListCollectionsRequest())
    collections = [to_json(collection) for collection in response.collections]
    return {"collections": collections, "warnings": list(response.warnings)}


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    openapi_extra=request_body({JSON_TYPE: {"schema": CollectionBody.model_json_schema()}}),
    responses={
        201: json_response(_COLLECTION, "The collection."),
        **problem_responses(*BODY_STATUSES, 404, 409, 412),
    },
)
async def create_collection(
    body: Annotated[CollectionBody, Depends(json_body(CollectionBody))], call: CallOf
) -> dict[str, Any]:
    """Create a collection."""
    mode = "COLLECTION_MODE_" + body.mode.upper().removeprefix("COLLECTION_MODE_")
    collection = ingest_pb2.Collection(
        name=body.name,
        encoder=body.encoder,
        detector=body.detector,
        index=body.index,
        display_name=body.display_name,
        mode=ingest_pb2.CollectionMode.Value(mode),
    )
    request = ingest_pb2.CreateCollectionRequest(collection=collection)
    response = await call.unary("ingest", call.backends.ingest.CreateCollection, request)
    return to_json(response.collection)


@router.get(
    "/{name}",
    responses={200: json_response(_COLLECTION, "The collection with its counts."), **problem_responses(400, 404)},
)
async def get_collection(name: CollectionName, call: CallOf) -> dict[str, Any]:
    """Read one collection with its counts."""
    request = ingest_pb2.GetCollectionRequest(name=name)
    response = await call.unary("ingest", call.backends.ingest.GetCollection, request)
    return to_json(response.collection)


@router.patch(
    "/{name}",
    openapi_extra=request_body({JSON_TYPE: {"schema": CollectionChange.model_json_schema()}}),
    responses={200: json_response(_COLLECTION, "The collection."), **problem_responses(*BODY_STATUSES, 404, 409)},
)
async def update_collection(
    name: CollectionName, body: Annotated[CollectionChange, Depends(json_body(CollectionChange))], call: CallOf
) -> dict[str, Any]:
    """Change the name and the display name of a collection; its former name finds it until another one has it."""
    request = ingest_pb2.UpdateCollectionRequest(name=name, new_name=body.name, display_name=body.display_name)
    response = await call.unary("ingest", call.backends.ingest.UpdateCollection, request)
    return to_json(response.collection)


@router.delete("/{name}", status_code=HTTPStatus.NO_CONTENT, responses=problem_responses(400, 403, 404, 409))
async def delete_collection(name: CollectionName, call: CallOf) -> None:
    """Delete a collection and everything in it; the image files stay where they are."""
    request = ingest_pb2.DeleteCollectionRequest(name=name)
    await call.unary("ingest", call.backends.ingest.DeleteCollection, request)
