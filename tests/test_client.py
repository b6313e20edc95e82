"""The client against a running `fovea up`, on threads, on an event loop, and from its wheel in an empty environment."""

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from PIL import Image

from fovea.client import AsyncClient, Box, Client, FoveaError, IngestResult, Item, Part
from fovea.client.calls import SearchOptions
from fovea.client.ingesting import ItemLike
from fovea.client.parts import PartLike
from fovea.search.v1 import search_pb2
from tests.cli.running import Up
from tests.support.bundles import tiny_detector_bundle, tiny_image_bundle, tiny_text_bundle
from tests.support.images import COLOURS, blocks, encoded, plain
from tests.support.processes import eventually

ROOT = Path(__file__).resolve().parents[1]
UV = ROOT / ".venv" / "bin" / "uv"


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A system with tiny bundles, in an environment that names a proxy which leads nowhere."""
    models = tmp_path_factory.mktemp("models")
    tiny_image_bundle(models / "tiny", is_default=True, modalities=("image", "sketch"))
    tiny_text_bundle(models / "tiny_text")
    tiny_detector_bundle(models / "tiny_detector", is_default=True)
    with Up(tmp_path_factory.mktemp("data"), models) as running:
        yield running
        assert running.stop(signal.SIGINT) == 0


@pytest.fixture
def client(up: Up) -> Iterator[Client]:
    with Client.local(up.data) as opened:
        yield opened


@pytest.fixture(scope="module")
def colours(up: Up, tmp_path_factory: pytest.TempPathFactory) -> list[IngestResult]:
    """The collection `colours`: images as paths, arrays, Pillow images and bytes, and one file that is not there."""
    folder = tmp_path_factory.mktemp("images")
    path = folder / "red.png"
    path.write_bytes(encoded(plain("red")))
    transparent = np.full((8, 8, 4), 255, np.uint8)
    items: list[ItemLike] = [
        path,
        Item(np.asarray(plain("green")), uri="green", metadata={"year": 2024, "tags": ["grass"]}),
        Item(plain("blue"), uri="blue"),
        Item(plain("yellow").convert("CMYK"), uri="yellow"),
        Item(transparent, uri="white"),
        encoded(plain("black")),
        folder / "missing.png",
        Item(np.zeros((4, 4), np.float32), uri="floats"),
        Item(uri="nowhere"),
    ]
    with Client.local(up.data) as client:
        client.create_collection("colours")
        return list(client.ingest("colours", items))


def test_every_item_has_its_result(colours: list[IngestResult]) -> None:
    """Whatever an item is, it is added, and one that cannot be read fails alone with the reason."""
    added = {result.uri for result in colours if result.status == "added"}
    failed = {result.uri: result.error for result in colours if result.status == "failed"}

    assert {Path(uri).name for uri in added if ":" not in uri} == {"red.png", "green", "blue", "yellow", "white"}
    assert [uri.partition(":")[0] for uri in added if ":" in uri] == ["sha256"]
    assert {Path(uri).name for uri in failed} == {"missing.png", "floats", "nowhere"}
    assert all(error is not None and error.message for error in failed.values())


@pytest.mark.parametrize("as_what", ["path", "bytes", "array", "pillow", "part"])
def test_a_query_is_whatever_an_image_is(
    client: Client, colours: list[IngestResult], as_what: str, tmp_path: Path
) -> None:
    """The same image finds itself in every form, with its metadata."""
    image, path = plain("green"), tmp_path / "green.png"
    image.save(path)
    forms: dict[str, PartLike] = {"path": path, "bytes": path.read_bytes(), "array": np.asarray(image), "pillow": image}
    forms["part"] = Part.image(path, region=Box(0.25, 0.25, 0.75, 0.75))

    found = client.search("colours", forms[as_what], limit=2)

    assert len(found) == 2
    assert found[0].uri == "green"
    assert found[0].score == pytest.approx(1.0, abs=1e-3)
    assert found[0].metadata == {"year": 2024, "tags": ["grass"]}
    assert found.timings_ms["total"] > 0


def test_words_sketches_embeddings_and_stored_images_are_parts(client: Client, colours: list[IngestResult]) -> None:
    """Each kind of part is a query, with options of a search."""
    (embedding,) = client.encode([plain("blue")], encoder="tiny").embeddings
    green = client.image("colours", uri="green")

    assert client.search("colours", Part.embedding(embedding))[0].uri == "blue"
    assert client.search("colours", Part.sketch(plain("blue")))[0].uri == "blue"
    assert client.search("colours", Part.stored(green.image_id), Part.text("red", weight=0), limit=1)[0].uri == "green"
    assert [hit.uri for hit in client.search("colours", "blue", filter="year = 2024")] == ["green"]


def test_hits_are_read_page_by_page(client: Client, colours: list[IngestResult]) -> None:
    """All of them, in the order of one large page, with what a search counts and explains."""
    whole = client.search("colours", plain("blue"), limit=100, facets=["year"], explain=True)
    paged = [hit.uri for hit in client.hits("colours", plain("blue"), page_size=4)]

    assert paged == [hit.uri for hit in whole]
    assert whole.facets == {"year": {2024: 1}}
    assert whole[0].message.contributions[0].score == pytest.approx(whole[0].score, abs=1e-3)


def test_several_regions_are_one_query(client: Client, colours: list[IngestResult]) -> None:
    """Any of them, or all of them in one image."""
    image = blocks({"blue": (0, 0, 0.5, 1), "green": (0.5, 0, 1, 1)})
    halves = [Box(0, 0, 0.5, 1), Box(0.5, 0, 1, 1)]

    any_half = client.search("colours", Part.image(image, regions=halves), limit=2)
    both = client.search("colours", Part.image(image, regions=halves, match_all=True), limit=1)

    assert {hit.uri for hit in any_half} == {"blue", "green"}
    assert both[0].score < any_half[1].score


def test_options_are_the_fields_of_the_contract() -> None:
    """A field that a release adds is an option of the client."""
    fields = {field.name for field in search_pb2.SearchRequest.DESCRIPTOR.fields}

    assert set(SearchOptions.__annotations__) == fields - {"collection", "parts", "page_token"}


def test_many_queries_go_in_one_call(client: Client, colours: list[IngestResult]) -> None:
    """One that fails has its error in its position."""
    first, second = client.search_many("colours", [[plain("blue")], [b"no image"]], limit=1)

    assert not isinstance(first, FoveaError)
    assert first[0].uri == "blue"
    assert isinstance(second, FoveaError)
    assert "INVALID_ARGUMENT" in str(second)


def test_any_number_of_inputs_is_encoded(client: Client) -> None:
    """More than a call takes are split, in order; an input that fails raises only where its embedding is asked for."""
    images = [np.full((6, 6, 3), shade, np.uint8) for shade in range(150)]

    encoded_images = client.encode(images, encoder="tiny")
    broken = client.encode([images[0], b"no image"], encoder="tiny")

    assert encoded_images.embeddings.shape == (150, 16)
    again = client.encode(images[149:], encoder="tiny").embeddings
    assert np.allclose(encoded_images.embeddings[149], again[0], atol=1e-5)
    assert client.encode(["red", "blue"], encoder="tiny_text").embeddings.shape == (2, 16)
    assert isinstance(broken.outcomes[1], FoveaError)
    with pytest.raises(FoveaError, match="INVALID_ARGUMENT"):
        _ = broken.embeddings


def test_objects_are_found(client: Client) -> None:
    """The detector's answer is a sequence, best first."""
    found = client.detect(blocks({"red": (0.1, 0.1, 0.5, 0.9)}), detector="tiny_detector")

    assert [detection.label for detection in found] == ["red"]
    assert found[0].box.x_min == pytest.approx(0.1, abs=0.1)
    assert (found.width_px, found.height_px) == (160, 120)


def test_images_are_listed_page_by_page(client: Client, colours: list[IngestResult]) -> None:
    """All of them, whatever the size of a page; the collection counts them."""
    listed = [image.uri for image in client.images("colours", page_size=2)]

    assert len(listed) == len(set(listed)) == client.collection("colours").image_count == 6
    assert [image.uri for image in client.images("colours", filter="year = 2024")] == ["green"]
    assert "colours" in {collection.name for collection in client.collections()}


def test_results_are_shown_in_notebooks(client: Client, colours: list[IngestResult]) -> None:
    """The thumbnails are in the HTML itself, and nothing of a uri is taken for HTML."""
    list(client.ingest("colours", [Item(plain("red"), uri="<script>")]))
    shown = client.search("colours", plain("red")).show(columns=3)._repr_html_()
    client.delete_images("colours", uris=["<script>"])

    first = shown.partition("base64,")[2].partition('"')[0]
    assert base64.b64decode(first)[8:12] == b"WEBP"
    assert "&lt;script&gt;" in shown
    assert "<script>" not in shown


def test_refusals_say_what_the_server_said(client: Client) -> None:
    """Code, reason and sentence are those of the service; a target that is missing is named before anything is sent."""
    with pytest.raises(FoveaError, match="nowhere") as unknown:
        client.search("nowhere", "words")
    with pytest.raises(ValueError, match="SearchService"), Client(ingest="127.0.0.1:1") as other:
        other.search("colours", "words")
    with pytest.raises(ValueError, match="tiny_text"):
        client.encode(["words"], encoder="huge")

    assert unknown.value.code is grpc.StatusCode.NOT_FOUND


def test_every_call_has_a_deadline(client: Client, up: Up) -> None:
    """A time that is too short ends the call."""
    with Client(search=up.run["search"], timeout_s=0.000001) as hasty, pytest.raises(FoveaError, match="DEADLINE"):
        hasty.search("colours", plain("red"))


def test_a_long_source_is_read_as_it_is_stored(client: Client) -> None:
    """At most 64 items are read ahead of their results."""
    read = 0

    def source() -> Iterator[Item]:
        nonlocal read
        for number in range(300):
            read += 1
            yield Item(np.full((6, 6, 3), number % 256, np.uint8), uri=f"long/{number}")

    client.create_collection("long")
    for done, result in enumerate(client.ingest("long", source()), start=1):
        assert result.status == "added"
        assert read - done <= 64
    assert client.collection("long").image_count == 300
    client.delete_collection("long")


def test_ingest_goes_on_where_the_service_was_killed(client: Client, up: Up) -> None:
    """What had no result is sent again to the new process: every item has one result, and all are stored."""
    client.create_collection("killed")
    items = [Item(np.full((6, 6, 3), number % 256, np.uint8), uri=f"killed/{number}") for number in range(200)]
    seen = []
    for result in client.ingest("killed", items):
        seen.append(result)
        if len(seen) == 50:
            os.kill(up.pids["ingest"], signal.SIGKILL)

    assert [result for result in seen if result.status not in {"added", "unchanged"}] == []
    assert sorted(result.uri for result in seen) == sorted(item.uri for item in items)
    eventually(lambda: client.collection("killed").image_count == 200)
    client.delete_collection("killed")


async def test_event_loops_have_the_same_client(up: Up, colours: list[IngestResult]) -> None:
    """Collections, ingest, search, encoding, paging and refusals, without a thread of the caller's."""
    async with AsyncClient.local(up.data) as client:
        await client.create_collection("async")
        items = [Item(plain(colour), uri=colour) for colour in COLOURS]
        results = [result async for result in client.ingest("async", [*items, ROOT / "missing.png"])]
        found = await client.search("async", plain("blue"))
        paged = [hit.uri async for hit in client.hits("async", plain("blue"), page_size=2)]
        embeddings = (await client.encode([plain("red")] * 130, encoder="tiny")).embeddings
        listed = [image.uri async for image in client.images("async", page_size=4)]
        with pytest.raises(FoveaError, match="NOT_FOUND"):
            await client.collection("nowhere")
        detections = await client.detect(Image.new("RGB", (32, 32)), detector="tiny_detector")
        deleted = await client.delete_images("async", uris=["red"])
        await client.delete_collection("async")

    assert sorted(result.status for result in results) == ["added"] * len(COLOURS) + ["failed"]
    assert paged == [hit.uri for hit in found]
    assert found[0].uri == "blue"
    assert embeddings.shape == (130, 16)
    assert sorted(listed) == sorted(COLOURS)
    assert (len(detections), deleted) == (0, 1)


_IN_AN_EMPTY_ENVIRONMENT = """
import json, sys
import numpy as np
from fovea.client import Client, Item

with Client.local(sys.argv[1]) as client:
    client.create_collection("wheel")
    results = list(client.ingest("wheel", [Item(np.full((9, 9, 3), 200, np.uint8), uri="grey")]))
    hits = client.search("wheel", np.full((9, 9, 3), 200, np.uint8))
    client.delete_collection("wheel")
print(json.dumps([results[0].status, hits[0].uri, [name for name in ("PIL", "rpc", "domain") if name in sys.modules]]))
"""


def test_wheel_works_in_an_empty_environment(up: Up, tmp_path: Path) -> None:
    """It needs nothing but its four dependencies, and no checkout."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT / "packages" / "fovea-client", check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    environment = tmp_path / "venv"
    python = str(environment / "bin" / "python")
    subprocess.run([str(UV), "venv", "--quiet", "--python", sys.executable, str(environment)], check=True)
    # Offline: what it needs is in uv's cache since `make venv` installed it.
    install = [str(UV), "pip", "install", "--quiet", "--offline", "--python", python]
    install += ["--constraint", "constraints.txt", str(wheel)]
    subprocess.run(install, cwd=ROOT, check=True)
    command = [python, "-I", "-c", _IN_AN_EMPTY_ENVIRONMENT, str(up.data)]

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["added", "grey", []]
