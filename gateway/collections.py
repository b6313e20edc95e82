"""Routes of collections: list, create, read and delete."""

from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, ConfigDict, Field

from fovea.ingest.v1 import ingest_pb2
from gateway.backends import BackendsOf, CallOf
from gateway.bodies import json_body
from gateway.messages import json_answer, model_request, to_json
from gateway.problems import BODY_STATUSES, problems
from rpc.errors import service_errors

router = APIRouter(prefix="/collections", tags=["collections"])

CollectionName = Annotated[str, Path(description="The collection's name.", examples=["photos"])]

_COLLECTION = ingest_pb2.Collection.DESCRIPTOR
_COLLECTIONS = ingest_pb2.ListCollectionsResponse.DESCRIPTOR

_Mode = Literal[
    "whole_image", "objects", "WHOLE_IMAGE", "OBJECTS", "COLLECTION_MODE_WHOLE_IMAGE", "COLLECTION_MODE_OBJECTS"
]


class NewCollection(BaseModel):
    """A collection to create."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(description="`[a-z][a-z0-9_]{0,62}`.", examples=["photos"])
    encoder: str = Field(description="The bundle that embeds its pictures, see /encoders.", examples=["general"])
    mode: _Mode = Field("whole_image", description="One embedding for each picture, or for each object found in it.")
    detector: str = Field("", description="The bundle that finds its objects, in objects mode.")
    index: str = Field("", description="The Milvus index type; empty: chosen by size.")


@router.get("", responses={200: json_answer(_COLLECTIONS, "All collections by name, with their counts.")})
async def list_collections(backends: BackendsOf, call: CallOf) -> dict[str, Any]:
    """List all collections with their counts."""
    request = ingest_pb2.ListCollectionsRequest()
    with service_errors("ingest"):
        response = await backends.ingest.ListCollections(request, timeout=call.timeout_s, metadata=call.metadata)
    return {"collections": [to_json(collection) for collection in response.collections]}


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    openapi_extra=model_request(NewCollection),
    responses={
        201: json_answer(_COLLECTION, "The collection."),
        **problems(*BODY_STATUSES, 404, 409, 412),
    },
)
async def create_collection(
    new: Annotated[NewCollection, Depends(json_body(NewCollection))], backends: BackendsOf, call: CallOf
) -> dict[str, Any]:
    """Create a collection."""
    collection = ingest_pb2.Collection(
        name=new.name, encoder=new.encoder, detector=new.detector, index=new.index, mode=_mode_of(new.mode)
    )
    request = ingest_pb2.CreateCollectionRequest(collection=collection)
    with service_errors("ingest"):
        response = await backends.ingest.CreateCollection(request, timeout=call.timeout_s, metadata=call.metadata)
    return to_json(response.collection)


@router.get(
    "/{name}", responses={200: json_answer(_COLLECTION, "The collection with its counts."), **problems(400, 404)}
)
async def get_collection(name: CollectionName, backends: BackendsOf, call: CallOf) -> dict[str, Any]:
    """Read one collection with its counts."""
    request = ingest_pb2.GetCollectionRequest(name=name)
    with service_errors("ingest"):
        response = await backends.ingest.GetCollection(request, timeout=call.timeout_s, metadata=call.metadata)
    return to_json(response.collection)


@router.delete("/{name}", status_code=HTTPStatus.NO_CONTENT, responses=problems(400, 403, 404, 409))
async def delete_collection(name: CollectionName, backends: BackendsOf, call: CallOf) -> None:
    """Delete a collection and everything in it; the picture files stay where they are."""
    request = ingest_pb2.DeleteCollectionRequest(name=name)
    with service_errors("ingest"):
        await backends.ingest.DeleteCollection(request, timeout=call.timeout_s, metadata=call.metadata)


def _mode_of(name: _Mode) -> ingest_pb2.CollectionMode.ValueType:
    full_name = "COLLECTION_MODE_" + name.upper().removeprefix("COLLECTION_MODE_")
    return ingest_pb2.CollectionMode.Value(full_name)
