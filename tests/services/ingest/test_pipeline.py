"""The pipeline from regions to embeddings, with model servers that record their calls."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from domain.box import Box
from domain.detection import Detection
from rpc.clients import Detected, Embedded, Encoded, Input
from rpc.errors import InvalidArgument, Overloaded, ServiceError
from rpc.priority import Priority
from services.ingest.item import Added, LoadedImage
from services.ingest.pipeline import Pipeline
from services.ingest.settings import IngestSettings
from services.stores.records import Collection, CollectionMode, NewImage, PutResult, PutStatus

DIMENSION = 4
COLLECTION = Collection("name", "space", "tiny", "tiny_detector", CollectionMode.OBJECTS, "FLAT", DIMENSION, 0.0)


class Models:
    """Detects as many objects as the image's first byte says; the embedding tells image and region."""

    def __init__(self) -> None:
        self.calls: list[list[tuple[bytes, int]]] = []
        self.priorities: set[Priority] = set()
        self.refusals = 0

    async def detect(self, image: bytes, *, priority: Priority, **_: Any) -> Detected:
        """Finds objects."""
        self.priorities.add(priority)
        boxes: list[Box] = [(0.0, 0.0, 1.0, (number + 1) / 1000) for number in range(image[0])]
        return Detected(tuple(Detection(box, "thing", 0.9, 0) for box in boxes), 10, 10, ())

    async def encode(self, inputs: Sequence[Input], *, priority: Priority, **_: Any) -> Encoded:
        """Embeds, refuses `refusals` times, and fails for the second region of images that end with an exclamation mark."""
        if self.refusals:
            self.refusals -= 1
            raise Overloaded("full", retry_after_s=0.001)
        self.priorities.add(priority)
        self.calls.append([(cast("bytes", item.content), len(item.regions)) for item in inputs])
        return Encoded("space", tuple(outcome for item in inputs for outcome in _outcomes(item)))


class Store:
    """Remembers what is put."""

    def __init__(self) -> None:
        self.images: dict[str, NewImage] = {}

    async def lookup(self, _: str, uris: Sequence[str]) -> list[None]:
        """Knows nothing."""
        return [None] * len(uris)

    async def put(self, _: str, images: Sequence[NewImage], __: object, *, space: str) -> list[PutResult]:
        """Takes everything."""
        self.images |= {image.uri: image for image in images}
        return [PutResult(image.uri, PutStatus.ADDED, region_count=len(image.regions)) for image in images]


def _outcomes(item: Input) -> list[Embedded | ServiceError]:
    content = cast("bytes", item.content)
    outcomes: list[Embedded | ServiceError] = [
        Embedded(np.asarray([content[0], region[3] * 1000, 0, 0], np.float32), ()) for region in item.regions
    ]
    if content.endswith(b"!"):
        outcomes[1] = InvalidArgument("broken")
    return outcomes


async def ingest(models: Models, store: Store, *contents: bytes) -> list[Added | BaseException]:
    """Adds images, each under its position as uri, at once."""
    client: Any = SimpleNamespace(client=models, info=SimpleNamespace(name="tiny"))
    pipeline = Pipeline(
        COLLECTION, encoder=client, detector=client, store=cast("Any", store), settings=IngestSettings(encode_calls=1)
    )
    images = [LoadedImage(str(position), content, "0" * 64, 10, 10, {}) for position, content in enumerate(contents)]
    async with pipeline:
        return await asyncio.gather(*(pipeline.add(image) for image in images), return_exceptions=True)


async def test_each_image_gets_the_embeddings_of_its_own_regions() -> None:
    """Whatever shares a call with it, and also if a region of another image fails."""
    models, store = Models(), Store()
    contents = [b"\3", b"\5!", b"\2", b"\xfa", b"\7!", b"\1"]

    answers = await ingest(models, store, *contents)

    assert [type(answer) for answer in answers] == [Added, InvalidArgument, Added, Added, InvalidArgument, Added]
    for position in (0, 2, 3, 5):
        count, image = contents[position][0], store.images[str(position)]
        assert image.embeddings[:, 0].tolist() == [count] * count
        assert image.embeddings[:, 1].tolist() == pytest.approx(range(1, count + 1))
    assert models.priorities == {Priority.BULK}


async def test_an_image_is_sent_once_for_all_its_regions() -> None:
    """100 objects are one input of one call; a refused call is sent again, and only that."""
    models, store = Models(), Store()
    models.refusals = 1

    await ingest(models, store, b"\x64" * (5 << 20))

    assert [[count for _, count in call] for call in models.calls] == [[100]]
    assert len(store.images["0"].embeddings) == 100
