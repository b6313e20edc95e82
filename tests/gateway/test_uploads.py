import json

import httpx

from tests.support.images import encoded, plain

RED = encoded(plain("red"))
BLUE = encoded(plain("blue"), "JPEG")
BROKEN = b"this is not an image"


async def test_many_uploads_get_a_result_each(http: httpx.AsyncClient, photos: str) -> None:
    """Results come in the form's order, and one broken file fails alone."""
    files = [("images", ("red.png", RED)), ("images", ("broken.jpg", BROKEN)), ("images", ("blue.jpg", BLUE))]
    response = await http.post(f"/collections/{photos}/images", files=files)

    assert response.status_code == 200
    results = response.json()["results"]
    assert [result["filename"] for result in results] == ["red.png", "broken.jpg", "blue.jpg"]
    added, failed = "INGEST_STATUS_ADDED", "INGEST_STATUS_FAILED"
    assert [result["status"] for result in results] == [added, failed, added]
    assert results[1]["error"]["status"] == 415
    assert results[1]["error"]["reason"] == "UNSUPPORTED_PICTURE"
    assert results[0]["uri"].startswith("sha256:")
    assert (await http.get(f"/collections/{photos}")).json()["image_count"] == 2


async def test_upload_that_fails_wholly_is_a_problem(http: httpx.AsyncClient, photos: str) -> None:
    """Where no image was ingested, the response is a problem that includes the results."""
    response = await http.post(f"/collections/{photos}/images", files={"file": ("broken.png", BROKEN)})

    assert response.status_code == 415
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["reason"] == "UNSUPPORTED_PICTURE"
    assert response.json()["results"][0]["status"] == "INGEST_STATUS_FAILED"


async def test_same_bytes_again_are_unchanged(http: httpx.AsyncClient, photos: str) -> None:
    """An upload is known by its bytes, within one form and from one form to the next."""
    twice = [("images", ("one.png", RED)), ("images", ("two.png", RED))]
    first = (await http.post(f"/collections/{photos}/images", files=twice)).json()["results"]
    again = (await http.post(f"/collections/{photos}/images", files=twice[:1])).json()["results"]

    assert first[0]["image_id"] == first[1]["image_id"] == again[0]["image_id"]
    assert again[0]["status"] == "INGEST_STATUS_UNCHANGED"


async def test_metadata_is_for_all_or_for_each(http: httpx.AsyncClient, photos: str) -> None:
    """A list gives each image its own metadata, an object gives all the same."""
    files = [("images", ("red.png", RED)), ("images", ("blue.jpg", BLUE))]
    each = json.dumps([{"shop": "north"}, {"shop": "south", "price": 2.5}])
    results = (await http.post(f"/collections/{photos}/images", files=files, data={"metadata": each})).json()["results"]

    records = [(await http.get(f"/collections/{photos}/images/{result['image_id']}")).json() for result in results]
    assert [record["metadata"] for record in records] == [{"shop": "north"}, {"shop": "south", "price": 2.5}]


async def test_an_upload_without_metadata_keeps_them(http: httpx.AsyncClient, photos: str) -> None:
    """A form without metadata changes none, an empty object clears them."""
    path, files = f"/collections/{photos}/images", [("images", ("red.png", RED))]
    await http.post(path, files=files, data={"metadata": '{"shop": "north"}'})
    for sent, status, kept in (
        ({}, "UNCHANGED", {"shop": "north"}),
        ({"metadata": "{}"}, "UPDATED", {}),
    ):
        [result] = (await http.post(path, files=files, data=sent)).json()["results"]
        assert result["status"] == f"INGEST_STATUS_{status}"
        assert (await http.get(f"{path}/{result['image_id']}")).json().get("metadata", {}) == kept


async def test_bad_metadata_is_refused(http: httpx.AsyncClient, photos: str) -> None:
    """Metadata must be JSON objects, as many as there are images."""
    too_deep = '{"a":' * 17 + "1" + "}" * 17
    big = '{"id": 1746714878034235396}'
    for metadata in ("{", "[]", '"words"', "[1]", too_deep, '{"a":' * 200 + "1" + "}" * 200, big, '{"a": NaN}'):
        response = await http.post(
            f"/collections/{photos}/images", files={"file": ("red.png", RED)}, data={"metadata": metadata}
        )
        assert response.status_code == 400
        assert response.json()["detail"].startswith("metadata")
    assert "finite number" in response.json()["detail"]


async def test_form_without_a_file_is_refused(http: httpx.AsyncClient, photos: str) -> None:
    """Words are not an image."""
    response = await http.post(f"/collections/{photos}/images", data={"images": "red.png"}, files={})

    assert response.status_code == 400
    assert "at least one image" in response.json()["detail"]


async def test_upload_into_nowhere_is_not_found(http: httpx.AsyncClient) -> None:
    """The collection must exist."""
    response = await http.post("/collections/nowhere/images", files={"file": ("red.png", RED)})

    assert response.status_code == 404
