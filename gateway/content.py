"""Routes that show pictures: their bytes as stored, and thumbnails made by us."""

from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Query, Request, Response

from gateway.images import RecordOf
from gateway.pictures import THUMBNAIL_SIZES_PX, Content, Pictures
from gateway.problems import problems

router = APIRouter(prefix="/collections/{name}/images/{image_id}", tags=["images"])

# A stored picture comes from strangers: shown on its own, it may run nothing and load nothing.
_SANDBOX = "sandbox; default-src 'none'; img-src 'self'; style-src 'none'"
_CACHE = "private, max-age=60, stale-while-revalidate=600"

_RESPONSES: dict[int | str, dict[str, Any]] = {
    304: {"description": "The caller has this version."},
    **problems(400, 403, 404, 409, 412, 415),
}


def _pictures(request: Request) -> Pictures:
    return cast("Pictures", request.app.state.pictures)


PicturesOf = Annotated[Pictures, Depends(_pictures)]


@router.get("/content", response_class=Response, responses=_RESPONSES)
async def get_content(request: Request, record: RecordOf, pictures: PicturesOf) -> Response:
    """The picture as it is stored, under the type that it really has."""
    etag = f'"{record.sha256}"'
    if _is_known(request, etag):
        await pictures.verify(record.uri, record.sha256)
        return _not_modified(etag)
    return _shown(await pictures.content(record.uri, record.sha256), etag)


@router.get("/thumbnail", response_class=Response, responses=_RESPONSES)
async def get_thumbnail(
    request: Request,
    record: RecordOf,
    pictures: PicturesOf,
    size: Annotated[int, Query(ge=1, le=4096, description="Longer side in px; made in 128, 256, 512 and 1024.")] = 256,
) -> Response:
    """The picture made anew as WebP, upright, in the next larger of a few sizes."""
    size_px = next((each for each in THUMBNAIL_SIZES_PX if each >= size), THUMBNAIL_SIZES_PX[-1])
    etag = f'"{record.sha256}-{size_px}"'
    if _is_known(request, etag):
        await pictures.verify(record.uri, record.sha256)
        return _not_modified(etag)
    return _shown(await pictures.thumbnail(record.uri, record.sha256, size_px), etag)


def _is_known(request: Request, etag: str) -> bool:
    sent = request.headers.get("if-none-match", "")
    return etag in (each.strip().removeprefix("W/") for each in sent.split(","))


def _not_modified(etag: str) -> Response:
    return Response(status_code=304, headers={"ETag": etag, "Cache-Control": _CACHE})


def _shown(content: Content, etag: str) -> Response:
    headers = {"ETag": etag, "Cache-Control": _CACHE, "Content-Security-Policy": _SANDBOX}
    return Response(content.data, media_type=content.media_type, headers=headers)
