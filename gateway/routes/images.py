"""Routes of the images in a collection: list them, read, show and delete one."""

from http import HTTPStatus
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from fovea.ingest.v1 import ingest_pb2
from gateway.backends import CallOf
from gateway.bodies.messages import to_json
from gateway.image_files import THUMBNAIL_SIZES_PX, ImageFiles
from gateway.openapi import json_response, problem_responses, schema_of
from gateway.routes.collections import CollectionName
from rpc.errors import NotFound

router = APIRouter(prefix="/collections/{name}/images", tags=["images"])

ImageId = Annotated[str, Path(description="The image's id.", examples=["0123456789abcdef0123456789abcdef"])]

_IMAGE = schema_of(ingest_pb2.GetImageResponse.DESCRIPTOR)
_PAGE = schema_of(ingest_pb2.ListImagesResponse.DESCRIPTOR)
_FILE_RESPONSES: dict[int | str, dict[str, Any]] = {
    304: {"description": "The caller has this version."},
    **problem_responses(400, 403, 404, 409, 412, 415),
}

# A stored image comes from an untrusted client: opened as a page of its own, it may run and load nothing.
_SANDBOX = "sandbox; default-src 'none'; img-src 'self'; style-src 'none'"
_CACHE = "private, max-age=60, stale-while-revalidate=600"


async def _record(name: CollectionName, image_id: ImageId, call: CallOf) -> ingest_pb2.GetImageResponse:
    """The record of an image; raises NotFound."""
    request = ingest_pb2.GetImageRequest(collection=name, image_id=image_id)
    return await call.unary("ingest", call.backends.ingest.GetImage, request)


def _image_files(request: Request) -> ImageFiles:
    return cast("ImageFiles", request.app.state.image_files)


RecordOf = Annotated[ingest_pb2.GetImageResponse, Depends(_record)]
FilesOf = Annotated[ImageFiles, Depends(_image_files)]


@router.get("", responses={200: json_response(_PAGE, "One page of images."), **problem_responses(400, 404, 412)})
async def list_images(
    *,
    name: CollectionName,
    call: CallOf,
    filter: Annotated[str, Query(description='Only these, for example `colour = "red"`.')] = "",  # noqa: A002 - the contract's word
    page_size: Annotated[int, Query(ge=0, le=1000, description="The most images; 0 means 100.")] = 0,
    page_token: Annotated[str, Query(description="`next_page_token` of the page before.")] = "",
) -> dict[str, Any]:
    """List the images of a collection, page by page."""
    request = ingest_pb2.ListImagesRequest(collection=name, filter=filter, page_size=page_size, page_token=page_token)
    response = await call.unary("ingest", call.backends.ingest.ListImages, request)
    return to_json(response)


@router.get(
    "/{image_id}",  # noqa: FAST003 - its dependency takes it
    responses={200: json_response(_IMAGE, "The image's record."), **problem_responses(400, 404)},
    response_model=None,
)
async def get_image(record: RecordOf) -> dict[str, Any]:
    """Read the record of one image."""
    return to_json(record)


@router.delete("/{image_id}", status_code=HTTPStatus.NO_CONTENT, responses=problem_responses(400, 403, 404, 409))
async def delete_image(name: CollectionName, image_id: ImageId, call: CallOf) -> None:
    """Delete one image from the collection; its file stays where it is."""
    request = ingest_pb2.DeleteImagesRequest(collection=name, image_ids=[image_id])
    response = await call.unary("ingest", call.backends.ingest.DeleteImages, request)
    if not response.deleted_count:
        raise NotFound(f"there is no image {image_id!r} in collection {name!r}")


@router.get("/{image_id}/content", response_class=Response, responses=_FILE_RESPONSES)  # noqa: FAST003 - as above
async def get_content(request: Request, record: RecordOf, files: FilesOf) -> Response:
    """The image as it is stored, under the type that it really has."""
    return await _file_response(request, record, files)


@router.get("/{image_id}/thumbnail", response_class=Response, responses=_FILE_RESPONSES)  # noqa: FAST003 - as above
async def get_thumbnail(
    request: Request,
    record: RecordOf,
    files: FilesOf,
    size: Annotated[int, Query(ge=1, le=4096, description="Longer side in px; made in 128, 256, 512 and 1024.")] = 256,
) -> Response:
    """The image made anew as WebP, upright, in the next larger of a few sizes."""
    # Few sizes keep the caches of browsers useful.
    size_px = next((each for each in THUMBNAIL_SIZES_PX if each >= size), THUMBNAIL_SIZES_PX[-1])
    return await _file_response(request, record, files, size_px)


async def _file_response(
    request: Request, record: ingest_pb2.GetImageResponse, files: ImageFiles, size_px: int | None = None
) -> Response:
    """The file, or a thumbnail of this size; 304 without a body where the caller has it."""
    etag = f'"{record.sha256}"' if size_px is None else f'"{record.sha256}-{size_px}"'
    headers = {"ETag": etag, "Cache-Control": _CACHE}
    known = request.headers.get("if-none-match", "").split(",")
    if etag in (each.strip().removeprefix("W/") for each in known):
        # A file that has changed since is not "unchanged", though its record is.
        await files.verify(record.uri, record.sha256)
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    if size_px is None:
        file = await files.content(record.uri, record.sha256)
    else:
        file = await files.thumbnail(record.uri, record.sha256, size_px)
    return Response(file.data, media_type=file.media_type, headers=headers | {"Content-Security-Policy": _SANDBOX})
