"""Pipeline: one stream's way from a picture that was read to rows that can be found, in batches that overlap."""

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from typing import Any, Self

import numpy as np

from rpc.clients import Embedded, Input
from rpc.deadline import Deadline
from rpc.directory import DetectorEntry, EncoderEntry
from rpc.errors import FailedPrecondition, InvalidArgument, ServiceError
from rpc.telemetry import stage
from services.ingest.batcher import Batcher
from services.ingest.item import Added, Picture
from services.ingest.patience import patiently
from services.ingest.settings import IngestSettings
from services.stores.images import ImageStore
from services.stores.records import WHOLE_PICTURE, Collection, ImageRecord, NewImage, PutResult, PutStatus, Region


class Pipeline:
    """Looks up, detects, encodes and writes the pictures of one collection; an async context manager.

    Without a detector each picture is one region, itself.
    """

    def __init__(
        self,
        collection: Collection,
        *,
        encoder: EncoderEntry,
        detector: DetectorEntry | None,
        store: ImageStore,
        settings: IngestSettings,
    ) -> None:
        self._collection = collection
        self._encoder = encoder
        self._detector = detector
        self._store = store
        self._item_time_s = settings.item_time_s
        self._detecting = asyncio.Semaphore(settings.detect_calls)
        self._known: Batcher[Picture, ImageRecord | None] = Batcher(
            self._look_up, max_requests=settings.write_batch, calls=settings.write_calls
        )
        self._encoded: Batcher[Input, Embedded] = Batcher(
            self._encode,
            max_requests=settings.encode_batch,
            calls=settings.encode_calls,
            max_bytes=settings.encode_batch_mib << 20,
            size_of=lambda item: len(item.content),
        )
        self._written: Batcher[NewImage, PutResult] = Batcher(
            self._write, max_requests=settings.write_batch, calls=settings.write_calls
        )
        self._workers = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for batcher in (self._known, self._encoded, self._written):
            await self._workers.enter_async_context(batcher)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._workers.aclose()

    async def add(self, picture: Picture) -> Added:
        """Returns when the picture is durable and findable; raises ServiceError."""
        known = await self._known.ask(picture)
        if known is not None:
            return Added(
                picture.uri, known.image_id, PutStatus.UNCHANGED, known.region_count, warnings=picture.warnings
            )
        with _faults_of_the_image():
            regions, warnings = await self._regions(picture)
            inputs = [Input(picture.data, "image", region.box) for region in regions]
            embedded = await asyncio.gather(*(self._encoded.ask(item) for item in inputs))
        written = await _to_the_end(self._written.ask(_new_image(picture, regions, embedded)))
        warnings = picture.warnings + warnings + tuple(warning for one in embedded for warning in one.warnings)
        assert written.status is not None, "a write that did not fail has a status"
        return Added(
            picture.uri, written.image_id, written.status, written.region_count, tuple(dict.fromkeys(warnings))
        )

    async def _regions(self, picture: Picture) -> tuple[tuple[Region, ...], tuple[str, ...]]:
        """The objects of a picture and the detector's warnings; the whole picture where no object was found."""
        if self._detector is None:
            return (WHOLE_PICTURE,), ()
        detector, deadline = self._detector, Deadline.after(self._item_time_s)
        async with self._detecting:
            with stage("detect"):
                found = await patiently(
                    lambda: detector.client.detect(picture.data, detector=detector.info.name, deadline=deadline),
                    deadline,
                )
        regions = tuple(Region(d.box, d.label, d.score, d.class_id) for d in found.detections)
        return regions or (WHOLE_PICTURE,), found.warnings

    async def _look_up(self, pictures: Sequence[Picture]) -> Sequence[ImageRecord | None]:
        keys = [(picture.uri, picture.sha256, picture.metadata) for picture in pictures]
        return await self._store.unchanged(self._collection.name, keys)

    async def _encode(self, inputs: Sequence[Input]) -> Sequence[Embedded | ServiceError]:
        deadline = Deadline.after(self._item_time_s)
        name = self._encoder.info.name
        with stage("encode"):
            encoded = await patiently(
                lambda: self._encoder.client.encode(inputs, encoder=name, deadline=deadline), deadline
            )
        if encoded.space != self._collection.space:
            raise FailedPrecondition(
                f"encoder {name!r} now embeds into space {encoded.space}, the collection holds {self._collection.space}"
            )
        return encoded.outcomes

    async def _write(self, images: Sequence[NewImage]) -> Sequence[PutResult | ServiceError]:
        with stage("write"):
            results = await self._store.put(self._collection.name, images, Deadline.after(self._item_time_s))
        return [result if result.error is None else result.error for result in results]


async def _to_the_end(write: Coroutine[Any, Any, PutResult]) -> PutResult:
    """Finishes a write also when its caller leaves: half a write would lock the picture until its lease runs out."""
    task = asyncio.create_task(write)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()
        raise


def _new_image(picture: Picture, regions: tuple[Region, ...], embedded: Sequence[Embedded]) -> NewImage:
    return NewImage(
        uri=picture.uri,
        sha256=picture.sha256,
        width_px=picture.width_px,
        height_px=picture.height_px,
        metadata=picture.metadata,
        regions=regions,
        embeddings=np.stack([one.embedding for one in embedded]),
    )


@contextmanager
def _faults_of_the_image() -> Iterator[None]:
    """What a model server says about the picture is about a field of ours."""
    try:
        yield
    except InvalidArgument as error:
        raise InvalidArgument(f"item.image: {error.message}", reason=error.reason) from error
