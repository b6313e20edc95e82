import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from fovea.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from rpc.channel import open_channel
from tests.gateway.system import System
from tests.support.images import blocks, encoded, plain


@pytest.fixture
def folder(system: System, name: str) -> Path:
    """Three images and a broken one below the root."""
    folder = system.root / name
    (folder / "deeper").mkdir(parents=True)
    for file, colour in (("red.png", "red"), ("green.png", "green"), ("deeper/blue.png", "blue")):
        (folder / file).write_bytes(encoded(plain(colour)))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff cut off")
    return folder


async def _followed(http: httpx.AsyncClient, job_id: str) -> list[tuple[str, dict[str, Any]]]:
    """Every event of a job, to its end."""
    events: list[tuple[str, dict[str, Any]]] = []
    kind = ""
    async with http.stream("GET", f"/jobs/{job_id}/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        async for line in response.aiter_lines():
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: "):
                events.append((kind, json.loads(line.removeprefix("data: "))))
    return events


async def test_folder_is_ingested_with_progress(http: httpx.AsyncClient, photos: str, folder: Path) -> None:
    """A folder becomes a job; its events end with one final state that names what was not taken."""
    started = await http.post(f"/collections/{photos}/ingest", json={"folder": str(folder)})

    assert started.status_code == 202
    assert started.headers["location"] == f"/api/v1/jobs/{started.json()['id']}"
    events = await _followed(http, started.json()["id"])
    kind, final = events[-1]
    assert kind == "final"
    assert all(kind == "progress" for kind, _ in events[:-1])
    assert (final["state"], final["total"], final["done"], final["failed"]) == ("done", 4, 3, 1)
    assert final["rate"] > 0
    assert final["failures"][0]["uri"].endswith("broken.jpg")
    assert (await http.get(f"/jobs/{final['id']}")).json()["state"] == "done"
    assert (await http.get(f"/collections/{photos}")).json()["image_count"] == 3


async def test_images_without_objects_are_counted_apart(http: httpx.AsyncClient, name: str, folder: Path) -> None:
    """In a collection of objects a job says in how many images no object was found; a second run looks for none."""
    collection = {"name": name, "encoder": "tiny", "mode": "objects", "detector": "tiny_detector"}
    assert (await http.post("/collections", json=collection)).status_code == 201
    (folder / "red.png").write_bytes(encoded(blocks({"red": (0.1, 0.1, 0.4, 0.5)})))
    for file, width_px in (("green.png", 40), ("deeper/blue.png", 50)):
        (folder / file).write_bytes(encoded(plain("white", (width_px, 30))))
    for searched, without in ((3, 2), (0, 0)):
        job = (await http.post(f"/collections/{name}/ingest", json={"folder": str(folder)})).json()
        final = (await _followed(http, job["id"]))[-1][1]
        assert (final["searched_for_objects"], final["without_objects"]) == (searched, without)


async def test_second_run_finds_all_unchanged(http: httpx.AsyncClient, photos: str, folder: Path) -> None:
    """Ingesting again is safe and says so."""
    for kind in ("added", "unchanged"):
        job = (await http.post(f"/collections/{photos}/ingest", json={"folder": str(folder)})).json()
        final = (await _followed(http, job["id"]))[-1][1]
        assert final[kind] == 3


@pytest.mark.parametrize(
    ("folder_name", "status"), [("/etc", 403), ("../..", 403), ("nowhere", 404), ("", 400), ("http://x/y", 400)]
)
async def test_folder_must_lie_below_the_roots(
    http: httpx.AsyncClient, photos: str, folder_name: str, status: int
) -> None:
    """A folder outside the roots is refused before a job starts."""
    response = await http.post(f"/collections/{photos}/ingest", json={"folder": folder_name})

    assert response.status_code == status
    assert "folder" in response.json()["detail"]


async def test_unknown_collection_never_becomes_a_job(http: httpx.AsyncClient, system: System) -> None:
    """The collection is looked up before the folder is scanned."""
    response = await http.post("/collections/nowhere/ingest", json={"folder": str(system.root)})

    assert response.status_code == 404


async def test_unknown_job_is_not_found(http: httpx.AsyncClient) -> None:
    """All routes of a job agree."""
    for method, path in (("GET", ""), ("GET", "/events"), ("DELETE", "")):
        response = await http.request(method, f"/jobs/nobody{path}")
        assert response.status_code == 404


async def test_cancelled_job_ends_at_once_and_keeps_what_it_took(
    http: httpx.AsyncClient, photos: str, system: System
) -> None:
    """Cancelling answers with the final state, and the same folder may be ingested again."""
    folder = system.root / photos
    folder.mkdir()
    for number in range(600):
        (folder / f"{number:03}.png").write_bytes(encoded(plain("red", (8 + number, 8))))
    job = (await http.post(f"/collections/{photos}/ingest", json={"folder": str(folder)})).json()
    cancelled = (await http.delete(f"/jobs/{job['id']}")).json()

    assert cancelled["state"] == "cancelled"
    assert cancelled["done"] < 600
    again = (await http.post(f"/collections/{photos}/ingest", json={"folder": str(folder)})).json()
    final = (await _followed(http, again["id"]))[-1][1]
    assert (final["state"], final["done"], final["failed"]) == ("done", 600, 0)


async def test_cancelling_a_finished_job_changes_nothing(http: httpx.AsyncClient, photos: str, folder: Path) -> None:
    """A final state stays."""
    job = (await http.post(f"/collections/{photos}/ingest", json={"folder": str(folder)})).json()
    await _followed(http, job["id"])

    assert (await http.delete(f"/jobs/{job['id']}")).json()["state"] == "done"


async def _ingested(http: httpx.AsyncClient, photos: str, folder: Path, **asked: Any) -> dict[str, Any]:
    """The final state of a job."""
    started = await http.post(f"/collections/{photos}/ingest", json={"folder": str(folder), **asked})
    assert started.status_code == 202, started.text
    return (await _followed(http, started.json()["id"]))[-1][1]


async def _uris(http: httpx.AsyncClient, photos: str) -> dict[str, dict[str, Any]]:
    """The metadata of everything in the collection, by uri."""
    images = (await http.get(f"/collections/{photos}/images")).json()["images"]
    return {image["uri"]: image["metadata"] for image in images}


async def test_pruned_folder_is_mirrored(http: httpx.AsyncClient, photos: str, system: System, name: str) -> None:
    """With `prune` what moved keeps its metadata, what went or is excluded is deleted, and another folder is spared."""
    folder = system.root / f"{name}_a"
    files = {stem: folder / f"{stem}.png" for stem in ("moved", "gone", "kept", "private")}
    folder.mkdir()
    for number, file in enumerate(files.values()):
        file.write_bytes(encoded(plain("red", (40 + number, 40))))
    beside = folder.with_name(f"{folder.name}2")
    beside.mkdir()
    (beside / "gone.png").write_bytes(encoded(plain("blue")))
    await _ingested(http, photos, folder)
    await _ingested(http, photos, beside)
    await _describe(system, photos, str(files["moved"]), city="Rome")
    (beside / "gone.png").unlink()
    files["gone"].unlink()
    new = files["moved"].rename(folder / "new.png")

    final = await _ingested(http, photos, folder, prune=True, exclude=["private.*"])

    assert (final["state"], final["pruned"], final["moved"]) == ("done", 3, 1), final
    assert (final["done"], final["failed"], final["total"]) == (2, 0, 2)
    assert await _uris(http, photos) == {
        str(files["kept"]): {},
        str(new): {"city": "Rome"},
        str(beside / "gone.png"): {},
    }


async def _describe(system: System, collection: str, uri: str, **metadata: str) -> None:
    """Gives a stored image metadata, as a client of the ingest service."""
    item = ingest_pb2.Item(uri=uri)
    item.metadata.update(metadata)
    async with open_channel(system.ingest) as channel:
        stub = ingest_pb2_grpc.IngestServiceStub(channel)
        request = ingest_pb2.IngestRequest(collection=collection, item=item)
        async for response in stub.Ingest(iter([request])):
            assert response.status == ingest_pb2.INGEST_STATUS_UPDATED, response


async def test_empty_folder_is_pruned_only_when_asked_by_name(
    http: httpx.AsyncClient, photos: str, folder: Path
) -> None:
    """A folder without images may be an unmounted disk, so the job fails with a reason and deletes nothing."""
    await _ingested(http, photos, folder)
    for name in ("red.png", "green.png", "deeper/blue.png", "broken.jpg"):
        (folder / name).unlink()

    refused = await _ingested(http, photos, folder, prune=True)
    assert (refused["state"], refused["pruned"]) == ("failed", 0)
    assert "unmounted disk" in refused["detail"]
    assert len(await _uris(http, photos)) == 3
    assert (await _ingested(http, photos, folder))["state"] == "done"

    assert (await _ingested(http, photos, folder, prune_empty=True))["pruned"] == 3
    assert await _uris(http, photos) == {}


async def test_what_is_left_out_and_warned_of_is_reported(http: httpx.AsyncClient, photos: str, folder: Path) -> None:
    """A job names the files that it did not take, and what was odd about those that it took."""
    for left in ("IMG_1.NEF", "IMG_2.nef"):
        (folder / left).write_bytes(b"")
    moving = encoded(plain("red"), "GIF", save_all=True, append_images=[plain("blue")])
    (folder / "moving.gif").write_bytes(moving)

    final = await _ingested(http, photos, folder)

    [left_out] = final["left_out"]
    assert (left_out["count"], left_out["uris"]) == (2, [f"{folder}/IMG_1.NEF", f"{folder}/IMG_2.nef"])
    assert "camera raw files cannot be read" in left_out["reason"]
    warning = {"reason": "only the first frame was read", "count": 1, "uris": [f"{folder}/moving.gif"]}
    assert final["warnings"] == [warning]


async def test_pattern_that_means_nothing_never_becomes_a_job(
    http: httpx.AsyncClient, photos: str, folder: Path
) -> None:
    """A mistake in an exclusion must not take in what was to stay out."""
    response = await http.post(f"/collections/{photos}/ingest", json={"folder": str(folder), "exclude": ["!"]})

    assert response.status_code == 400
    assert "gitignore" in response.json()["detail"]


async def test_a_collection_moves_to_another_encoder_with_progress(http: httpx.AsyncClient, name: str) -> None:
    """A job moves the collection to the default encoder; the way back is a job too."""
    await http.post("/collections", json={"name": name, "encoder": "former"})
    files = [("images", (f"{number}.png", encoded(plain("red", (8 + number, 8))))) for number in range(3)]
    assert (await http.post(f"/collections/{name}/images", files=files)).status_code == 200

    started = await http.post(f"/collections/{name}/reindex", json={"encoder": "tiny"})

    assert started.status_code == 202, started.text
    assert started.headers["location"] == f"/api/v1/jobs/{started.json()['id']}"
    assert (started.json()["kind"], started.json()["phase"]) == ("reindex", "embedding")
    _, final = (await _followed(http, started.json()["id"]))[-1]
    assert (final["state"], final["done"], final["total"], final["failed"]) == ("done", 3, 3, 0), final
    moved = (await http.get("/collections")).json()["collections"]
    [collection] = [each for each in moved if each["name"] == name]
    assert (collection["encoder"], collection["suggested_encoder"]) == ("tiny", "")
    returned = (await http.post(f"/collections/{name}/reindex", json={"rollback": True})).json()
    assert (await _followed(http, returned["id"]))[-1][1]["state"] == "done"
    assert (await http.get(f"/collections/{name}")).json()["encoder"] == "former"


async def test_a_move_that_cannot_begin_never_becomes_a_job(http: httpx.AsyncClient, photos: str) -> None:
    """What is wrong with the request is its answer."""
    for path, body, status in (
        ("nowhere", {}, 404),
        (photos, {"encoder": "nobody"}, 404),
        (photos, {"rollback": True}, 412),
        (photos, {"rollback": True, "encoder": "tiny"}, 400),
        (photos, {"encoder": 1}, 400),
    ):
        response = await http.post(f"/collections/{path}/reindex", json=body)
        assert response.status_code == status, response.text


async def test_a_collection_is_scrubbed_with_findings(
    http: httpx.AsyncClient, photos: str, folder: Path, system: System
) -> None:
    """A scrub is a job: it reports damage without touching it."""
    await _ingested(http, photos, folder)
    kept = encoded(plain("yellow"))
    assert (await http.post(f"/collections/{photos}/images", files={"images": kept})).status_code == 200
    [file] = [path for path in system.root.with_name("uploads").glob("*/*") if path.read_bytes() == kept]
    file.write_bytes(b"something else")

    started = await http.post(f"/collections/{photos}/scrub", json={})

    assert started.status_code == 202, started.text
    assert (started.json()["kind"], started.json()["phase"]) == ("scrub", "checking")
    final = (await _followed(http, started.json()["id"]))[-1][1]
    assert (final["state"], final["done"], final["total"]) == ("done", 4, 4), final
    assert (final["damaged"], final["repaired"]) == (1, 0)
    [finding] = final["findings"]
    assert finding["damage"] == "kept file with other bytes"
    assert (await http.post("/collections/nowhere/scrub", json={})).status_code == 404


async def test_jobs_are_listed_newest_first_and_bounded(http: httpx.AsyncClient, photos: str, folder: Path) -> None:
    """All jobs that are remembered are listed; more than two at once are refused."""
    ended = [await _ingested(http, photos, folder) for _ in range(2)]
    listed = (await http.get("/jobs")).json()["jobs"]
    assert [job["id"] for job in listed[:2]] == [job["id"] for job in reversed(ended)]
    for number in range(600):
        (folder / f"{number:03}.png").write_bytes(encoded(plain("red", (8 + number, 8))))
    answers = [await http.post(f"/collections/{photos}/ingest", json={"folder": str(folder)}) for _ in range(3)]
    for answer in answers[:2]:
        await http.delete(f"/jobs/{answer.json()['id']}")
    assert [answer.status_code for answer in answers] == [202, 202, 429]
