"""Each image of a stream is answered when it is durable and findable, and none stops the others."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from fovea.ingest.v1 import ingest_pb2
from tests.support.bundles import tiny_image_bundle
from tests.support.images import blocks, encoded, plain
from tests.support.services import Stores, add, create, encoder_process, ingest_stub, item

if TYPE_CHECKING:
    from fovea.ingest.v1.ingest_pb2_grpc import IngestServiceAsyncStub

RED, GREEN, BLUE = (encoded(plain(colour)) for colour in ("red", "green", "blue"))


async def counts(ingest: "IngestServiceAsyncStub", name: str) -> tuple[int, int]:
    collection = (await ingest.GetCollection(ingest_pb2.GetCollectionRequest(name=name))).collection
    return collection.image_count, collection.region_count


def statuses(answers: list[ingest_pb2.IngestResponse]) -> list[str]:
    return [ingest_pb2.IngestStatus.Name(answer.status).removeprefix("INGEST_STATUS_") for answer in answers]


async def test_images_are_added_and_read_back(ingest: "IngestServiceAsyncStub", name: str, root: Path) -> None:
    """Files by path and bytes by any uri are stored and read back with their metadata."""
    await create(ingest, name)
    path = root / "sub" / "röd 赤.png"
    path.parent.mkdir()
    path.write_bytes(RED)
    by_path, by_bytes = await add(ingest, name, item(str(path), year=1999), item("any://uri", GREEN))
    assert statuses([by_path, by_bytes]) == ["ADDED", "ADDED"]
    assert by_path.image_id == hashlib.sha256(str(path).encode()).hexdigest()[:32]
    assert await counts(ingest, name) == (2, 2)

    request = ingest_pb2.GetImageRequest(collection=name, image_id=by_path.image_id)
    image = await ingest.GetImage(request)
    assert (image.uri, image.width_px, image.height_px) == (str(path), 96, 64)
    assert image.sha256 == hashlib.sha256(RED).hexdigest()
    assert dict(image.metadata) == {"year": 1999}
    assert image.update_time.seconds > 1_600_000_000
    assert list(image.regions) == []
    assert await ingest.GetImage(ingest_pb2.GetImageRequest(collection=name, uri=str(path))) == image


async def test_plain_names_of_built_in_fields_are_warned_of(ingest: "IngestServiceAsyncStub", name: str) -> None:
    """Listings and deletions by a filter say that a plain name is metadata now, and how the built-in field is called."""
    await create(ingest, name)
    expected = ["filter: label is the metadata key label; for the built-in field write $label"]
    page = await ingest.ListImages(ingest_pb2.ListImagesRequest(collection=name, filter="label = 'x'"))
    deleted = await ingest.DeleteImages(ingest_pb2.DeleteImagesRequest(collection=name, filter="label = 'x'"))
    assert list(page.warnings) == list(deleted.warnings) == expected


async def test_a_rerun_changes_nothing(ingest: "IngestServiceAsyncStub", name: str) -> None:
    """The same images again are all unchanged, and the counts stay."""
    await create(ingest, name)
    items = [item("a", RED, n=1), item("b", GREEN), item("c", BLUE, tags=["x", None])]
    assert statuses(await add(ingest, name, *items)) == ["ADDED"] * 3
    assert statuses(await add(ingest, name, *items)) == ["UNCHANGED"] * 3
    assert await counts(ingest, name) == (3, 3)


async def test_changed_bytes_or_metadata_replace(ingest: "IngestServiceAsyncStub", name: str) -> None:
    """A changed image is the same image in a new version."""
    await create(ingest, name)
    await add(ingest, name, item("a", RED, n=1))
    assert statuses(await add(ingest, name, item("a", GREEN, n=1))) == ["UPDATED"]
    assert statuses(await add(ingest, name, item("a", GREEN, n=2))) == ["UPDATED"]
    assert await counts(ingest, name) == (1, 1)
    image = await ingest.GetImage(ingest_pb2.GetImageRequest(collection=name, uri="a"))
    assert (image.sha256, dict(image.metadata)) == (hashlib.sha256(GREEN).hexdigest(), {"n": 2})


async def test_one_uri_many_times_in_one_stream(ingest: "IngestServiceAsyncStub", name: str) -> None:
    """Each is answered, and the last one is live."""
    await create(ingest, name)
    answers = await add(ingest, name, *(item("a", data) for data in (RED, RED, GREEN, BLUE)))
    assert sorted(statuses(answers)) == ["ADDED", "UNCHANGED", "UPDATED", "UPDATED"]
    image = await ingest.GetImage(ingest_pb2.GetImageRequest(collection=name, uri="a"))
    assert image.sha256 == hashlib.sha256(BLUE).hexdigest()
    assert await counts(ingest, name) == (1, 1)


async def test_uploads_without_uri_are_named_by_their_bytes(
    ingest: "IngestServiceAsyncStub", name: str, tmp_path: Path
) -> None:
    """Bytes without a uri get one, and their bytes are kept."""
    await create(ingest, name)

    async def requests() -> AsyncIterator[ingest_pb2.IngestRequest]:
        yield ingest_pb2.IngestRequest(collection=name, item=ingest_pb2.Item(image=RED))

    answers = [answer async for answer in ingest.Ingest(requests())]
    sha256 = hashlib.sha256(RED).hexdigest()
    assert [answer.uri for answer in answers] == [f"sha256:{sha256}"]
    assert (tmp_path / "uploads" / sha256[:2] / sha256).read_bytes() == RED


async def test_bad_items_fail_alone(ingest: "IngestServiceAsyncStub", name: str, root: Path) -> None:
    """An item's error is in its own answer, and the other items are added."""
    await create(ingest, name)
    (root / "broken.jpg").write_bytes(RED[: len(RED) // 2])
    (root / "empty.jpg").write_bytes(b"")
    os.mkfifo(root / "pipe.jpg")
    (root / "out.jpg").symlink_to("/etc/hostname")
    invalid, denied, missing = (
        code.value[0]
        for code in (
            grpc.StatusCode.INVALID_ARGUMENT,
            grpc.StatusCode.PERMISSION_DENIED,
            grpc.StatusCode.NOT_FOUND,
        )
    )
    bad = [
        (item("svg", b"<svg xmlns='http://www.w3.org/2000/svg'></svg>"), invalid),
        (item("html", b"<!doctype html><html></html>"), invalid),
        (item("zero", b""), invalid),
        (item("cut", RED[: len(RED) // 2]), invalid),
        (item("broken.jpg"), invalid),
        (item("empty.jpg"), invalid),
        (item("pipe.jpg"), invalid),
        (item("none.jpg"), missing),
        (item("out.jpg"), denied),
        (item("../secret.jpg"), denied),
        (item("/etc/passwd"), denied),
        (item("/proc/self/environ"), denied),
        (item("https://host/a.jpg"), invalid),
        (item("nul\0", RED), invalid),
        (item("x" * 4097, RED), invalid),
        (item("large metadata", RED, text="x" * 16_384), invalid),
        (item("nan", RED, number=float("nan")), invalid),
    ]
    good = [item(f"good {number}", RED) for number in range(3)]
    answers = await add(ingest, name, good[0], *(one for one, _ in bad), *good[1:])
    assert statuses([answers[0], *answers[-2:]]) == ["ADDED"] * 3
    for answer, (one, code) in zip(answers[1:-2], bad, strict=True):
        assert statuses([answer]) == ["FAILED"], one.uri
        assert (answer.error.code, answer.uri) == (code, one.uri)
        assert answer.error.message.startswith("item")
        assert "Traceback" not in answer.error.message
    assert await counts(ingest, name) == (3, 3)


async def test_images_of_every_kind_go_in(ingest: "IngestServiceAsyncStub", name: str) -> None:
    """Every common format is accepted, with a warning about what was changed."""
    await create(ingest, name)
    image = plain("red")
    frames = [plain(colour) for colour in ("green", "blue")]
    items = [
        item("jpeg", encoded(image, "JPEG")),
        item("cmyk", encoded(image.convert("CMYK"), "JPEG")),
        item("palette", encoded(image.convert("P"), "PNG")),
        item("grey", encoded(image.convert("L"), "PNG")),
        item("16 bit", encoded(image.convert("I;16"), "PNG")),
        item("webp", encoded(image, "WEBP")),
        item("bmp", encoded(image, "BMP")),
        item("tiff", encoded(image, "TIFF")),
        item("animated", encoded(image, "GIF", save_all=True, append_images=frames)),
    ]
    answers = await add(ingest, name, *items)
    assert statuses(answers) == ["ADDED"] * len(items), [answer.error.message for answer in answers]
    assert "first frame" in " ".join(answers[-1].warnings)


async def test_objects_mode_has_an_embedding_for_each_object(ingest: "IngestServiceAsyncStub", name: str) -> None:
    """Each object is a region; an image without objects is one region, itself, and counted apart."""
    await create(ingest, name, objects=True)
    two = encoded(blocks({"red": (0.1, 0.1, 0.4, 0.5), "blue": (0.6, 0.5, 0.9, 0.9)}))
    none = encoded(plain("white"))
    answers = await add(ingest, name, item("two", two), item("none", none))
    assert statuses(answers) == ["ADDED", "ADDED"]
    assert [answer.region_count for answer in answers] == [2, 1]
    assert [answer.object_count for answer in answers] == [2, 0]
    assert await counts(ingest, name) == (2, 2)
    stored = await ingest.GetCollection(ingest_pb2.GetCollectionRequest(name=name))
    assert stored.collection.without_objects_count == 1
    image = await ingest.GetImage(ingest_pb2.GetImageRequest(collection=name, uri="two"))
    red = next(region for region in image.regions if region.label == "red")
    box = (red.box.x_min, red.box.y_min, red.box.x_max, red.box.y_max)
    assert box == pytest.approx((0.1, 0.1, 0.4, 0.5), abs=0.03)
    rerun = await add(ingest, name, item("two", two), item("none", none))
    assert [answer.region_count for answer in rerun] == [2, 1]
    assert statuses(rerun) == ["UNCHANGED", "UNCHANGED"]
    assert not any(answer.HasField("object_count") for answer in rerun), "nothing was detected again"


async def test_listing_and_deleting(ingest: "IngestServiceAsyncStub", name: str) -> None:
    """Images are listed page by page and deleted by id, uri and filter."""
    await create(ingest, name)
    answers = await add(ingest, name, *(item(f"{n}", RED, n=n, even=n % 2 == 0) for n in range(10)))
    ids = {answer.uri: answer.image_id for answer in answers}

    async def listed(**fields: str) -> list[str]:
        uris, token = [], ""
        while True:
            request = ingest_pb2.ListImagesRequest(collection=name, page_size=3, page_token=token, **fields)
            page = await ingest.ListImages(request)
            assert len(page.images) <= 3
            uris += [image.uri for image in page.images]
            token = page.next_page_token
            if not token:
                return uris

    assert await listed() == sorted(ids, key=lambda uri: ids[uri])
    assert set(await listed(filter="even = true and n >= 4")) == {"4", "6", "8"}

    async def deleted(**fields: object) -> int:
        request = ingest_pb2.DeleteImagesRequest(collection=name, **fields)  # type: ignore[arg-type]
        return (await ingest.DeleteImages(request)).deleted_count

    assert await deleted(image_ids=[ids["0"], "f" * 32], uris=["1", "0", "unknown"]) == 2
    assert await deleted(filter="n < 5") == 3
    assert await deleted(filter="n < 5") == 0
    assert await deleted(filter="$uri = '4' and $width_px = 96") == 0
    assert set(await listed()) == {"5", "6", "7", "8", "9"}
    assert set(await listed(filter="$uri in ('5', '6') and $width_px = 96")) == {"5", "6"}
    assert await counts(ingest, name) == (5, 5)
    assert statuses(await add(ingest, name, item("0", RED, n=0, even=True))) == ["ADDED"]


@pytest.mark.parametrize(
    ("method", "request_", "code"),
    [
        ("DeleteImages", ingest_pb2.DeleteImagesRequest(), "INVALID_ARGUMENT"),
        ("DeleteImages", ingest_pb2.DeleteImagesRequest(uris=["a"] * 10_001), "INVALID_ARGUMENT"),
        ("DeleteImages", ingest_pb2.DeleteImagesRequest(filter="n ="), "INVALID_ARGUMENT"),
        ("GetImage", ingest_pb2.GetImageRequest(), "INVALID_ARGUMENT"),
        ("GetImage", ingest_pb2.GetImageRequest(uri="unknown"), "NOT_FOUND"),
        ("GetImage", ingest_pb2.GetImageRequest(image_id="nonsense"), "NOT_FOUND"),
        ("ListImages", ingest_pb2.ListImagesRequest(page_size=-1), "INVALID_ARGUMENT"),
        ("ListImages", ingest_pb2.ListImagesRequest(page_token="?"), "INVALID_ARGUMENT"),  # noqa: S106 - no password
        ("ListImages", ingest_pb2.ListImagesRequest(filter="a = 'b"), "INVALID_ARGUMENT"),
    ],
)
async def test_bad_requests_have_errors_of_their_own(
    ingest: "IngestServiceAsyncStub",
    name: str,
    method: str,
    request_: ingest_pb2.DeleteImagesRequest | ingest_pb2.GetImageRequest | ingest_pb2.ListImagesRequest,
    code: str,
) -> None:
    """Each bad request has its status; for an unknown collection it is NOT_FOUND."""
    await create(ingest, name)
    request_.collection = name
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await getattr(ingest, method)(request_)
    assert refused.value.code().name == code
    assert refused.value.details()


async def test_a_stream_names_its_collection_first(ingest: "IngestServiceAsyncStub", name: str) -> None:
    """A stream without a collection, or with an unknown one, ends; another name on a later message fails alone."""
    for first, code in (("", grpc.StatusCode.INVALID_ARGUMENT), (name, grpc.StatusCode.NOT_FOUND)):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await add(ingest, first, item("a", RED))
        assert refused.value.code() == code
    await create(ingest, name)

    async def requests() -> AsyncIterator[ingest_pb2.IngestRequest]:
        yield ingest_pb2.IngestRequest(collection=name, item=item("a", RED))
        yield ingest_pb2.IngestRequest(collection="other", item=item("b", RED))
        yield ingest_pb2.IngestRequest(collection=name)
        yield ingest_pb2.IngestRequest(collection=name, item=item("c", RED))

    answers = {answer.uri: answer async for answer in ingest.Ingest(requests())}
    assert statuses([answers[uri] for uri in ("a", "b", "", "c")]) == ["ADDED", "FAILED", "FAILED", "ADDED"]


async def test_a_caller_that_leaves_changes_nothing(ingest: "IngestServiceAsyncStub", name: str) -> None:
    """A stream cut in the middle leaves the server as it was, and sending again is safe."""
    await create(ingest, name)
    items = [item(f"{number}", RED) for number in range(50)]

    async def endless() -> AsyncIterator[ingest_pb2.IngestRequest]:
        yield ingest_pb2.IngestRequest(collection=name)
        for one in items:
            yield ingest_pb2.IngestRequest(item=one)
        await asyncio.Event().wait()

    call = ingest.Ingest(endless())
    await call.read()
    call.cancel()
    answers = await add(ingest, name, *items)
    assert set(statuses(answers)) <= {"ADDED", "UNCHANGED"}, [answer.error for answer in answers]
    assert await counts(ingest, name) == (50, 50)


async def test_an_encoder_that_goes_away_fails_the_items_only(stores: Stores, name: str, tmp_path: Path) -> None:
    """Items are answered with UNAVAILABLE, and the stream goes on."""
    bundle = tiny_image_bundle(tmp_path / "tiny")
    with ExitStack() as running:
        address = running.enter_context(encoder_process(tmp_path / "log", bundle.folder))
        async with ingest_stub(stores, address, item_time_s=10) as ingest:
            await create(ingest, name)
            stopped = asyncio.Event()

            async def requests() -> AsyncIterator[ingest_pb2.IngestRequest]:
                yield ingest_pb2.IngestRequest(collection=name, item=item("before", RED))
                await stopped.wait()
                yield ingest_pb2.IngestRequest(item=item("after", GREEN))
                yield ingest_pb2.IngestRequest(item=item("before", RED))

            call = ingest.Ingest(requests())
            before = await anext(aiter(call))
            running.close()
            stopped.set()
            answers = {answer.uri: answer async for answer in call}
            assert statuses([before, answers["after"], answers["before"]]) == ["ADDED", "FAILED", "UNCHANGED"]
            assert answers["after"].error.code == grpc.StatusCode.UNAVAILABLE.value[0]
            assert await counts(ingest, name) == (1, 1)


async def test_a_full_encoder_queue_is_waited_for(stores: Stores, name: str, tmp_path: Path) -> None:
    """Bulk ingest survives an encoder that refuses: it calls again after the time that the encoder asks for."""
    bundle = tiny_image_bundle(tmp_path / "tiny")
    with encoder_process(tmp_path / "log", bundle.folder, queue_limit="64", max_batch="8") as address:
        async with ingest_stub(stores, address, encode_batch=60, encode_calls=8) as ingest:
            await create(ingest, name)
            answers = await add(ingest, name, *(item(f"{number}", RED) for number in range(400)))
            assert statuses(answers) == ["ADDED"] * 400


async def test_another_model_under_the_same_name_is_refused(stores: Stores, name: str, tmp_path: Path) -> None:
    """Embeddings of another space are never stored in a collection."""
    first, second = (tiny_image_bundle(tmp_path / f"d{size}", "tiny", size) for size in (16, 12))
    with encoder_process(tmp_path / "log", first.folder) as address:
        async with ingest_stub(stores, address) as ingest:
            await create(ingest, name)
    with encoder_process(tmp_path / "log", second.folder) as address:
        async with ingest_stub(stores, address) as ingest:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await add(ingest, name, item("a", RED))
            assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
