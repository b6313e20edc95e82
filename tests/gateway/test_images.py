import io
import os
from collections.abc import Callable
from pathlib import Path

import grpc
import httpx
import pytest
from PIL import Image

from fovea.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from tests.gateway.system import System
from tests.support.images import encoded, heic, photo, plain

RED = encoded(plain("red", (600, 400)), "JPEG")
# Never uploaded, so that the uploads hold no copy of it.
ON_DISK = encoded(plain("red", (300, 200)), "JPEG")


async def _uploaded(http: httpx.AsyncClient, name: str, image: bytes = RED) -> str:
    response = await http.post(f"/collections/{name}/images", files={"file": ("red.jpg", image)})
    image_id: str = response.json()["results"][0]["image_id"]
    return f"/collections/{name}/images/{image_id}"


async def _ingested(http: httpx.AsyncClient, name: str, folder: Path) -> str:
    job = (await http.post(f"/collections/{name}/ingest", json={"folder": str(folder)})).json()
    async with http.stream("GET", f"/jobs/{job['id']}/events") as events:
        async for _ in events.aiter_lines():
            pass
    images = (await http.get(f"/collections/{name}/images")).json()["images"]
    return f"/collections/{name}/images/{images[0]['image_id']}"


async def test_record_tells_size_and_hash(http: httpx.AsyncClient, photos: str) -> None:
    """An image's record has what the contract names."""
    record = (await http.get(await _uploaded(http, photos))).json()

    assert (record["width_px"], record["height_px"]) == (600, 400)
    assert record["uri"] == f"sha256:{record['sha256']}"
    assert record["regions"] == []


async def test_listing_goes_page_by_page(http: httpx.AsyncClient, photos: str) -> None:
    """Every image is on exactly one page."""
    for colour in ("red", "green", "blue"):
        await _uploaded(http, photos, encoded(plain(colour)))
    first = (await http.get(f"/collections/{photos}/images", params={"page_size": 2})).json()
    token = first["next_page_token"]
    last = (await http.get(f"/collections/{photos}/images", params={"page_size": 2, "page_token": token})).json()

    ids = [image["image_id"] for image in first["images"] + last["images"]]
    assert len(ids) == len(set(ids)) == 3
    assert last["next_page_token"] == ""


async def test_deleted_image_is_gone(http: httpx.AsyncClient, photos: str) -> None:
    """Deleting answers 204 once and 404 afterwards."""
    path = await _uploaded(http, photos)

    assert (await http.delete(path)).status_code == 204
    assert (await http.delete(path)).status_code == 404
    for part in ("", "/content", "/thumbnail"):
        assert (await http.get(path + part)).status_code == 404


async def test_content_is_the_bytes_under_their_real_type(http: httpx.AsyncClient, photos: str) -> None:
    """Bytes from clients are shown under their detected type, sandboxed and cacheable."""
    path = await _uploaded(http, photos)
    response = await http.get(f"{path}/content")

    assert response.content == RED
    assert response.headers["content-type"] == "image/jpeg"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["content-security-policy"].startswith("sandbox;")
    known = await http.get(f"{path}/content", headers={"If-None-Match": response.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")


@pytest.mark.parametrize(("asked_px", "made_px"), [(1, 128), (128, 128), (200, 256), (4000, 600)])
async def test_thumbnail_comes_in_a_few_sizes(
    http: httpx.AsyncClient, photos: str, asked_px: int, made_px: int
) -> None:
    """A thumbnail is made anew as WebP in the next larger size, never larger than the image."""
    response = await http.get(f"{await _uploaded(http, photos)}/thumbnail", params={"size": asked_px})

    assert response.headers["content-type"] == "image/webp"
    assert max(Image.open(io.BytesIO(response.content)).size) == made_px
    assert "max-age" in response.headers["cache-control"]


@pytest.mark.parametrize(
    ("make", "media_type"),
    [
        (lambda: heic("turned"), "image/heif"),
        (lambda: encoded(plain("red"), "AVIF"), "image/avif"),
        (lambda: encoded(plain("red", (12_000, 9_000)), "JPEG"), "image/jpeg"),
    ],
    ids=["HEIC", "AVIF", "108 megapixels"],
)
async def test_photos_of_phones_are_found_and_shown(
    http: httpx.AsyncClient, photos: str, make: Callable[[], bytes], media_type: str
) -> None:
    """What phones take is stored, found by itself, kept as it is, and made a thumbnail that every browser shows."""
    image = make()
    path = await _uploaded(http, photos, image)
    found = await http.post(f"/collections/{photos}/search", files={"image": ("q", image)})
    content, thumbnail = await http.get(f"{path}/content"), await http.get(f"{path}/thumbnail")

    assert found.json()["hits"][0]["score"] == pytest.approx(1, abs=1e-3)
    assert (content.headers["content-type"], content.content == image) == (media_type, True)
    assert thumbnail.headers["content-type"] == "image/webp"
    assert Image.open(io.BytesIO(thumbnail.content)).width > Image.open(io.BytesIO(thumbnail.content)).height


async def test_what_the_camera_wrote_is_filtered_and_answered(http: httpx.AsyncClient, photos: str) -> None:
    """The record, the listing and the hits of an image have its date and camera; the place is not kept unless asked for."""
    path = await _uploaded(http, photos, photo())
    await _uploaded(http, photos, RED)
    facts = {"taken": "2024-05-01T12:30:00", "camera": "Fovea F1", "lens": "26mm f/1.8"}

    assert (await http.get(path)).json()["exif"] == facts
    listed = await http.get(f"/collections/{photos}/images", params={"filter": '$taken >= "2024-05-01"'})
    assert [image["exif"] for image in listed.json()["images"]] == [facts]
    form = {"filter": '$camera = "Fovea F1" and $taken < "2024-05-02"'}
    found = await http.post(f"/collections/{photos}/search", files={"image": ("q.png", RED)}, data=form)
    assert [hit["exif"] for hit in found.json()["hits"]] == [facts]


async def test_thumbnail_size_has_limits(http: httpx.AsyncClient, photos: str) -> None:
    """Sizes of no use are refused."""
    path = await _uploaded(http, photos)

    for size in ("0", "100000", "large"):
        response = await http.get(f"{path}/thumbnail", params={"size": size})
        assert response.status_code == 400
        assert "size" in response.json()["detail"]


async def test_content_of_a_file_follows_the_file(http: httpx.AsyncClient, photos: str, system: System) -> None:
    """An image ingested by path is read below the roots; it is not shown once its file is deleted or a link out of them."""
    folder = system.root / photos
    folder.mkdir()
    image = folder / "red.jpg"
    image.write_bytes(ON_DISK)
    path = await _ingested(http, photos, folder)
    assert (await http.get(f"{path}/content")).content == ON_DISK

    image.unlink()
    gone = await http.get(f"{path}/content")
    assert (gone.status_code, gone.json()["detail"]) == (
        404,
        "the image's file is no longer where it was ingested from",
    )

    outside = system.root.parent / f"{photos}.jpg"
    outside.write_bytes(ON_DISK)
    image.symlink_to(outside)
    led_out = await http.get(f"{path}/thumbnail")
    assert led_out.status_code == 403


OTHERS = {
    "another image": encoded(plain("blue", (300, 200)), "JPEG"),
    "a web page": b"<html><script>alert(1)</script></html>",
    "the same size": ON_DISK[:-3] + bytes(1) + ON_DISK[-2:],
    "nothing": b"",
}


@pytest.mark.parametrize("other", OTHERS)
async def test_what_is_shown_is_what_was_embedded(
    http: httpx.AsyncClient, photos: str, system: System, other: str
) -> None:
    """A file with other bytes is not shown, even with the same size and time; a conditional request gets no 304."""
    folder = system.root / photos
    folder.mkdir()
    image = folder / "red.jpg"
    image.write_bytes(ON_DISK)
    path = await _ingested(http, photos, folder)
    known = {part: (await http.get(f"{path}/{part}")).headers["etag"] for part in ("content", "thumbnail")}
    before = image.stat()
    image.write_bytes(OTHERS[other])
    os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns))

    for part, etag in known.items():
        for headers in ({}, {"If-None-Match": etag}):
            response = await http.get(f"{path}/{part}", headers=headers)
            assert (response.status_code, response.json()["reason"]) == (409, "CHANGED_SINCE_INGEST")
            assert "etag" not in response.headers

    image.write_bytes(ON_DISK)
    assert (await http.get(f"{path}/content", headers={"If-None-Match": known["content"]})).status_code == 304


@pytest.mark.parametrize("kind", ["absolute", "relative"])
async def test_bytes_under_the_uri_of_another_file_are_kept(
    http: httpx.AsyncClient, photos: str, system: System, kind: str
) -> None:
    """Bytes that came under a path are shown, not the file of the same size that lies there."""
    (system.root / photos).mkdir()
    file = system.root / photos / "blue.bmp"
    file.write_bytes(encoded(plain("blue"), "BMP"))
    sent = encoded(plain("red"), "BMP")
    uri = str(file) if kind == "absolute" else str(file.relative_to(system.root))
    async with grpc.aio.insecure_channel(system.ingest) as channel:
        item = ingest_pb2.Item(uri=uri, image=sent)
        stream = ingest_pb2_grpc.IngestServiceStub(channel).Ingest(
            iter([ingest_pb2.IngestRequest(collection=photos, item=item)]), timeout=30
        )
        image_ids = [response.image_id async for response in stream]

    assert (await http.get(f"/collections/{photos}/images/{image_ids[0]}/content")).content == sent


@pytest.mark.parametrize(
    "uri", ["file:///%ff", "file:///%00", "/" + "a" * 256, "a" * 256, "x/" + "ä" * 200, "http://[", "\ud7ff"]
)
async def test_odd_uris_do_not_break_what_is_stored(
    http: httpx.AsyncClient, photos: str, system: System, uri: str
) -> None:
    """Bytes may come under any uri, and can be read under it again."""
    async with grpc.aio.insecure_channel(system.ingest) as channel:
        item = ingest_pb2.Item(uri=uri, image=RED)
        stream = ingest_pb2_grpc.IngestServiceStub(channel).Ingest(
            iter([ingest_pb2.IngestRequest(collection=photos, item=item)]), timeout=30
        )
        image_ids = [response.image_id async for response in stream]

    for part in ("content", "thumbnail"):
        assert (await http.get(f"/collections/{photos}/images/{image_ids[0]}/{part}")).status_code == 200


@pytest.mark.parametrize("folder", ["file:///%ff", "/" + "a" * 256, "a" * 5_000, "\x00", "http://[", ".."])
async def test_odd_folders_are_the_callers_fault(http: httpx.AsyncClient, photos: str, folder: str) -> None:
    """A folder job refuses what no file system holds, in a short sentence."""
    response = await http.post(f"/collections/{photos}/ingest", json={"folder": folder})

    assert response.status_code in (400, 403, 404)
    assert len(response.content) < 1_500
