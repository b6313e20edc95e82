"""An image that is sent again: what is sent replaces, what is not sent stays, and nothing is encoded without need."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from google.protobuf.struct_pb2 import Struct
from PIL import ImageCms

from domain.exif import NO_EXIF
from encoders.images.decoding import DECODER_REVISION
from fovea.ingest.v1 import ingest_pb2
from rpc.deadline import Deadline
from services.ingest.encoding import Encodings
from services.stores.images import ImageStore
from services.stores.records import NewMetadata, image_id_of
from services.stores.redis.entries import encode_entry
from services.stores.redis.shards import key
from tests.support.images import encoded, photo, plain
from tests.support.services import Stores, add, create, item

if TYPE_CHECKING:
    from fovea.ingest.v1.ingest_pb2_grpc import IngestServiceAsyncStub

RED, GREEN = (encoded(plain(colour)) for colour in ("red", "green"))
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
PROFILED = encoded(plain("red"), icc_profile=PROFILE)
UNCHANGED, UPDATED = ingest_pb2.INGEST_STATUS_UNCHANGED, ingest_pb2.INGEST_STATUS_UPDATED


@pytest.fixture
def encoded_count(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by the number of inputs of each call to an encoder."""
    encode, counts = Encodings._encode, list[int]()

    async def counted(self: Encodings, inputs: object) -> object:
        counts.append(len(inputs))  # type: ignore[arg-type]
        return await encode(self, inputs)  # type: ignore[arg-type]

    monkeypatch.setattr(Encodings, "_encode", counted)
    return counts


@pytest.fixture
async def store(stores: Stores) -> AsyncIterator[ImageStore]:
    """The stores behind the ingest server."""
    store = await ImageStore.open(stores.milvus_uri, stores.redis_url)
    yield store
    await store.close()


async def metadata_of(ingest: "IngestServiceAsyncStub", name: str, uri: str) -> dict[str, object]:
    image = await ingest.GetImage(ingest_pb2.GetImageRequest(collection=name, uri=uri))
    return dict(image.metadata)


async def test_exif_of_images_that_earlier_releases_ingested_is_added(
    ingest: "IngestServiceAsyncStub", name: str, store: ImageStore, encoded_count: list[int]
) -> None:
    """An image without its EXIF gets it when it is sent again, and keeps its embeddings and metadata."""
    await create(ingest, name)
    await add(ingest, name, item("photo.jpg", photo(), n=1))
    once = len(encoded_count)
    image = await ingest.GetImage(ingest_pb2.GetImageRequest(collection=name, uri="photo.jpg"))
    assert (image.exif.taken, image.exif.camera, image.exif.HasField("latitude")) == (
        "2024-05-01T12:30:00",
        "Fovea F1",
        False,
    )
    await store.put(name, [NewMetadata("photo.jpg", image.sha256, {"n": 1}, NO_EXIF)], Deadline.after(20))

    listing = ingest_pb2.ListImagesRequest(collection=name, filter='$taken >= "2024" and n = 1')
    assert not (await ingest.ListImages(listing)).images
    statuses = [(await add(ingest, name, item("photo.jpg", photo())))[0].status for _ in range(2)]
    assert statuses == [UPDATED, UNCHANGED]
    [listed] = (await ingest.ListImages(listing)).images
    assert listed.exif == image.exif
    assert len(encoded_count) == once


@pytest.mark.parametrize("objects", [False, True])
async def test_metadata_absent_keep_and_present_replace(
    ingest: "IngestServiceAsyncStub", name: str, encoded_count: list[int], *, objects: bool
) -> None:
    """The same bytes are encoded once, whatever the metadata; empty metadata that are sent replace the old ones."""
    await create(ingest, name, objects=objects)
    [added] = await add(ingest, name, item("a", RED, n=1))
    once = len(encoded_count)
    empty = item("a", RED)
    empty.metadata.CopyFrom(Struct())
    for sent, status, kept in (
        (item("a", RED), UNCHANGED, {"n": 1}),
        (item("a", RED, n=1), UNCHANGED, {"n": 1}),
        (item("a", RED, n=True), UPDATED, {"n": True}),
        (item("a", RED), UNCHANGED, {"n": True}),
        (empty, UPDATED, {}),
        (empty, UNCHANGED, {}),
        (item("a", RED, n=2), UPDATED, {"n": 2}),
    ):
        [answer] = await add(ingest, name, sent)
        assert (answer.status, answer.region_count) == (status, added.region_count)
        assert await metadata_of(ingest, name, "a") == kept
    assert len(encoded_count) == once

    [changed] = await add(ingest, name, item("a", GREEN))
    assert changed.status == UPDATED
    assert await metadata_of(ingest, name, "a") == {"n": 2}
    assert len(encoded_count) > once


async def test_images_of_an_old_decoder_are_encoded_again_once(
    ingest: "IngestServiceAsyncStub", store: ImageStore, name: str, encoded_count: list[int]
) -> None:
    """An image with a colour profile whose record names no decoder is encoded anew, one without is not."""
    await create(ingest, name)
    await add(ingest, name, item("profiled", PROFILED, n=1), item("plain", RED))
    for uri in ("profiled", "plain"):
        [record] = await store.lookup(name, [uri])
        assert record is not None
        assert record.decoder_revision == DECODER_REVISION
        # As a release wrote it that knew no revisions.
        entry = encode_entry(replace(record, decoder_revision=1)).replace(b',"decoder_revision":1', b"")
        live = key(name, record.image_id[0], "live")
        await store._catalog._shards.run([("HSET", live, record.image_id, entry)], Deadline.after(10))

    once = sum(encoded_count)
    first = await add(ingest, name, item("profiled", PROFILED), item("plain", RED))
    assert [answer.status for answer in first] == [UPDATED, UNCHANGED]
    again = await add(ingest, name, item("profiled", PROFILED), item("plain", RED))
    assert [answer.status for answer in again] == [UNCHANGED, UNCHANGED]
    assert sum(encoded_count) == once + 1
    assert (await store.image(name, image_id_of("profiled"))).record.decoder_revision == DECODER_REVISION
    assert await metadata_of(ingest, name, "profiled") == {"n": 1}
