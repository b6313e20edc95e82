"""Routes of pictures in a collection: list, read and delete their records."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query

from fovea.ingest.v1 import ingest_pb2
from gateway.backends import BackendsOf, CallOf
from gateway.collections import CollectionName
from gateway.messages import json_answer, to_json
from gateway.problems import problems
from rpc.errors import NotFound, service_errors

router = APIRouter(prefix="/collections/{name}/images", tags=["images"])

ImageId = Annotated[str, Path(description="The picture's id.", examples=["0123456789abcdef0123456789abcdef"])]

_IMAGE = ingest_pb2.GetImageResponse.DESCRIPTOR
_PAGE = ingest_pb2.ListImagesResponse.DESCRIPTOR


async def _record(
    name: CollectionName, image_id: ImageId, backends: BackendsOf, call: CallOf
) -> ingest_pb2.GetImageResponse:
    """The record of a known picture; NotFound."""
    request = ingest_pb2.GetImageRequest(collection=name, image_id=image_id)
    with service_errors("ingest"):
        return await backends.ingest.GetImage(request, timeout=call.timeout_s, metadata=call.metadata)


RecordOf = Annotated[ingest_pb2.GetImageResponse, Depends(_record)]


@router.get("", responses={200: json_answer(_PAGE, "One page of pictures."), **problems(400, 404, 412)})
async def list_images(
    *,
    name: CollectionName,
    backends: BackendsOf,
    call: CallOf,
    filter: Annotated[str, Query(description='Only these, for example `colour = "red"`.')] = "",  # noqa: A002 - the contract's word
    page_size: Annotated[int, Query(ge=0, le=1000, description="The most pictures; 0 means 100.")] = 0,
    page_token: Annotated[str, Query(description="`next_page_token` of the page before.")] = "",
) -> dict[str, Any]:
    """List the pictures of a collection, page by page."""
    request = ingest_pb2.ListImagesRequest(collection=name, filter=filter, page_size=page_size, page_token=page_token)
    with service_errors("ingest"):
        response = await backends.ingest.ListImages(request, timeout=call.timeout_s, metadata=call.metadata)
    return to_json(response)


@router.get(
    "/{image_id}",  # noqa: FAST003 - its dependency takes it
    responses={200: json_answer(_IMAGE, "The picture's record."), **problems(400, 404)},
    response_model=None,
)
async def get_image(record: RecordOf) -> dict[str, Any]:
    """Read the record of one picture."""
    return to_json(record)


@router.delete("/{image_id}", status_code=HTTPStatus.NO_CONTENT, responses=problems(400, 403, 404, 409))
async def delete_image(name: CollectionName, image_id: ImageId, backends: BackendsOf, call: CallOf) -> None:
    """Delete one picture from the collection; its file stays where it is."""
    request = ingest_pb2.DeleteImagesRequest(collection=name, image_ids=[image_id])
    with service_errors("ingest"):
        response = await backends.ingest.DeleteImages(request, timeout=call.timeout_s, metadata=call.metadata)
    if not response.deleted_count:
        raise NotFound(f"there is no picture {image_id!r} in collection {name!r}")
