import httpx


async def test_created_collection_is_listed_and_read(http: httpx.AsyncClient, name: str) -> None:
    """A new collection is answered with 201, and found by name and in the list with counts that are numbers."""
    created = await http.post("/collections", json={"name": name, "encoder": "tiny"})

    assert created.status_code == 201
    assert created.json()["mode"] == "COLLECTION_MODE_WHOLE_IMAGE"
    read = (await http.get(f"/collections/{name}")).json()
    assert read["name"] == name
    assert read["image_count"] == 0
    listed = (await http.get("/collections")).json()["collections"]
    assert name in [collection["name"] for collection in listed]


async def test_the_default_encoder_need_not_be_named(http: httpx.AsyncClient, name: str) -> None:
    """A name is enough for a collection."""
    created = await http.post("/collections", json={"name": name})

    assert created.status_code == 201
    assert created.json()["encoder"] == "tiny"


async def test_objects_mode_needs_a_detector(http: httpx.AsyncClient, name: str) -> None:
    """The mode may be given as the contract's short word, in any case."""
    response = await http.post(
        "/collections", json={"name": name, "encoder": "tiny", "mode": "OBJECTS", "detector": "tiny_detector"}
    )

    assert response.json()["mode"] == "COLLECTION_MODE_OBJECTS"
    assert response.json()["detector"] == "tiny_detector"


async def test_taken_name_is_a_conflict(http: httpx.AsyncClient, photos: str) -> None:
    """A name is given once."""
    response = await http.post("/collections", json={"name": photos, "encoder": "tiny"})

    assert response.status_code == 409
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["title"] == "Conflict"


async def test_bad_name_is_refused(http: httpx.AsyncClient) -> None:
    """A name outside the contract's alphabet is the caller's fault."""
    response = await http.post("/collections", json={"name": "Größe", "encoder": "tiny"})

    assert response.status_code == 400
    assert "name" in response.json()["detail"]


async def test_missing_field_is_named(http: httpx.AsyncClient) -> None:
    """Validation errors are problem documents that name each field."""
    response = await http.post("/collections", json={"encoder": "tiny", "mode": "sideways"})

    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"
    assert {error["field"] for error in response.json()["errors"]} == {"name", "mode"}


async def test_unknown_encoder_is_not_found(http: httpx.AsyncClient, name: str) -> None:
    """A collection needs an encoder that is served."""
    response = await http.post("/collections", json={"name": name, "encoder": "nobody"})

    assert response.status_code == 404
    assert "nobody" in response.json()["detail"]


async def test_deleted_collection_is_gone(http: httpx.AsyncClient, photos: str) -> None:
    """Deleting answers 204, and the name means nothing afterwards."""
    deleted = await http.delete(f"/collections/{photos}")

    assert deleted.status_code == 204
    assert (await http.get(f"/collections/{photos}")).status_code == 404
    assert (await http.delete(f"/collections/{photos}")).status_code == 404


async def test_a_collection_is_renamed(http: httpx.AsyncClient, photos: str) -> None:
    """The answer is the collection as it is called now; the former name finds it and deletes nothing."""
    new = f"{photos}_new"
    changed = await http.patch(f"/collections/{photos}", json={"name": new, "display_name": "Größe & Co"})

    assert changed.status_code == 200, changed.text
    assert (changed.json()["name"], changed.json()["display_name"]) == (new, "Größe & Co")
    assert (await http.get(f"/collections/{photos}")).json() == changed.json()
    assert (await http.delete(f"/collections/{photos}")).status_code == 404
    kept = await http.patch(f"/collections/{new}", json={})
    assert kept.json() == changed.json()
    for body, status in (({"name": "Größe"}, 400), ({"display_name": "a\nb"}, 400), ({"display_name": "x" * 201}, 400)):
        assert (await http.patch(f"/collections/{new}", json=body)).status_code == status
    assert (await http.patch("/collections/nowhere", json={"name": new})).status_code == 404
    await http.post("/collections", json={"name": f"{photos}_other"})
    assert (await http.patch(f"/collections/{new}", json={"name": f"{photos}_other"})).status_code == 409
    assert (await http.delete(f"/collections/{new}")).status_code == 204
