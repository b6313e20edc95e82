import io
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests.gateway.system import System
from tests.support.pictures import encoded, plain

RED = encoded(plain("red", (600, 400)), "JPEG")
# Never uploaded, so that the uploads hold no copy of it.
ON_DISK = encoded(plain("red", (300, 200)), "JPEG")


async def _uploaded(http: httpx.AsyncClient, name: str, picture: bytes = RED) -> str:
    response = await http.post(f"/collections/{name}/images", files={"file": ("red.jpg", picture)})
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
    """A picture's record has what the contract names."""
    record = (await http.get(await _uploaded(http, photos))).json()

    assert (record["width_px"], record["height_px"]) == (600, 400)
    assert record["uri"] == f"sha256:{record['sha256']}"
    assert record["regions"] == []


async def test_listing_goes_page_by_page(http: httpx.AsyncClient, photos: str) -> None:
    """Every picture is on exactly one page."""
    for colour in ("red", "green", "blue"):
        await _uploaded(http, photos, encoded(plain(colour)))
    first = (await http.get(f"/collections/{photos}/images", params={"page_size": 2})).json()
    token = first["next_page_token"]
    last = (await http.get(f"/collections/{photos}/images", params={"page_size": 2, "page_token": token})).json()

    ids = [image["image_id"] for image in first["images"] + last["images"]]
    assert len(ids) == len(set(ids)) == 3
    assert last["next_page_token"] == ""


async def test_deleted_picture_is_gone(http: httpx.AsyncClient, photos: str) -> None:
    """Deleting answers 204 once and 404 afterwards."""
    path = await _uploaded(http, photos)

    assert (await http.delete(path)).status_code == 204
    assert (await http.delete(path)).status_code == 404
    for part in ("", "/content", "/thumbnail"):
        assert (await http.get(path + part)).status_code == 404


async def test_content_is_the_bytes_under_their_real_type(http: httpx.AsyncClient, photos: str) -> None:
    """Bytes from strangers are shown sniffed, sandboxed and cacheable."""
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
    """A thumbnail is made anew as WebP in the next larger size, never larger than the picture."""
    response = await http.get(f"{await _uploaded(http, photos)}/thumbnail", params={"size": asked_px})

    assert response.headers["content-type"] == "image/webp"
    assert max(Image.open(io.BytesIO(response.content)).size) == made_px
    assert "max-age" in response.headers["cache-control"]


async def test_thumbnail_size_has_limits(http: httpx.AsyncClient, photos: str) -> None:
    """Sizes of no use are refused."""
    path = await _uploaded(http, photos)

    for size in ("0", "100000", "large"):
        response = await http.get(f"{path}/thumbnail", params={"size": size})
        assert response.status_code == 400
        assert "size" in response.json()["detail"]


async def test_content_of_a_file_follows_the_file(http: httpx.AsyncClient, photos: str, system: System) -> None:
    """A picture ingested by path is read below the roots; once gone or led out of them, it is not shown."""
    folder = system.root / photos
    folder.mkdir()
    picture = folder / "red.jpg"
    picture.write_bytes(ON_DISK)
    path = await _ingested(http, photos, folder)
    assert (await http.get(f"{path}/content")).content == ON_DISK

    picture.unlink()
    gone = await http.get(f"{path}/content")
    assert (gone.status_code, gone.json()["detail"]) == (
        404,
        "the picture's file is no longer where it was ingested from",
    )

    outside = system.root.parent / f"{photos}.jpg"
    outside.write_bytes(ON_DISK)
    picture.symlink_to(outside)
    led_out = await http.get(f"{path}/thumbnail")
    assert led_out.status_code == 403


async def test_file_that_became_a_web_page_is_not_shown(http: httpx.AsyncClient, photos: str, system: System) -> None:
    """Only pictures leave, whatever lies under a known path now."""
    folder = system.root / photos
    folder.mkdir()
    picture = folder / "red.jpg"
    picture.write_bytes(ON_DISK)
    path = await _ingested(http, photos, folder)
    picture.write_text("<html><script>alert(1)</script></html>")

    for part in ("content", "thumbnail"):
        response = await http.get(f"{path}/{part}")
        assert response.status_code == 415
        assert response.headers["content-type"] == "application/problem+json"
