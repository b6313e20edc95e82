"""Pipeline: the steps of one stream from a loaded image to durable rows, in batches that overlap."""

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from typing import Any, Self

import numpy as np

from domain.detection import Detection
from encoders.images.decoding import DECODER_REVISION, decodes_alike
from rpc.clients import Input
from rpc.deadline import Deadline
from rpc.directory import DetectorEntry, EncoderEntry
from rpc.errors import InvalidArgument, ServiceError
from rpc.observer import stage
from rpc.priority import Priority
from services.ingest.backoff import retried
from services.ingest.batcher import MicroBatcher
from services.ingest.encoding import Encodings
from services.ingest.item import Added, LoadedImage
from services.ingest.settings import IngestSettings
from services.stores.images import ImageStore
from services.stores.records import (
    TO_BE_EMBEDDED,
    WHOLE_IMAGE_REGION,
    Collection,
    ImageRecord,
    NewImage,
    NewMetadata,
    PutResult,
    PutStatus,
    is_same_metadata,
)


class Pipeline:
    """Looks up, detects, encodes and writes the images of one collection; an async context manager.

    Without a detector each image is one region, itself.
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
        self._detector = detector
        self._store = store
        self._item_time_s = settings.item_time_s
        # The detector takes one image a call, so it has permits where the other steps have a batcher.
        self._detector_permits = asyncio.Semaphore(settings.detect_calls)
        self._lookups: MicroBatcher[str, ImageRecord | None] = MicroBatcher(
            self._look_up, max_requests=settings.write_batch, calls=settings.write_calls
        )
        self._encodings = Encodings(encoder, collection.space, settings)
        self._writes: MicroBatcher[NewImage | NewMetadata, PutResult] = MicroBatcher(
            self._write, max_requests=settings.write_batch, calls=settings.write_calls
        )
        self._batchers = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for batcher in (self._lookups, self._encodings, self._writes):
            await self._batchers.enter_async_context(batcher)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._batchers.aclose()

    async def add(self, image: LoadedImage) -> Added:
        """Returns when the image is durable and findable; raises ServiceError."""
        live = await self._lookups.submit(image.uri)
        if live is not None and await _has_current_embeddings(live, image):
            return await self._update_metadata(live, image)
        with _image_errors():
            regions, warnings = await self._regions(image)
            # Without boxes the encoder embeds the whole image.
            boxes = tuple(region.box for region in regions if region != WHOLE_IMAGE_REGION)
            embedded = await self._encodings.submit(Input(image.data, "image", boxes))
        new = NewImage(
            uri=image.uri,
            sha256=image.sha256,
            width_px=image.width_px,
            height_px=image.height_px,
            metadata=image.metadata,
            regions=regions,
            embeddings=np.stack([one.embedding for one in embedded]),
            decoder_revision=DECODER_REVISION,
            exif=image.exif,
        )
        warnings = (*image.warnings, *warnings, *(warning for one in embedded for warning in one.warnings))
        replaced_sha256 = live.sha256 if live is not None and live.sha256 != image.sha256 else ""
        added = await self._put(new, tuple(dict.fromkeys(warnings)), replaced_sha256)
        return added if self._detector is None else replace(added, object_count=len(boxes))

    async def _update_metadata(self, live: ImageRecord, image: LoadedImage) -> Added:
        """Keep the embeddings; only metadata that were sent and differ are written, and EXIF that differs."""
        is_same = image.metadata is None or is_same_metadata(image.metadata, live.metadata)
        if is_same and image.exif == live.exif:
            return Added(image.uri, live.image_id, PutStatus.UNCHANGED, live.region_count, image.warnings)
        return await self._put(NewMetadata(image.uri, image.sha256, image.metadata, image.exif), image.warnings)

    async def _put(self, change: NewImage | NewMetadata, warnings: tuple[str, ...], replaced_sha256: str = "") -> Added:
        written = await _uninterrupted(self._writes.submit(change))
        assert written.status is not None, "a write that did not fail has a status"
        return Added(change.uri, written.image_id, written.status, written.region_count, warnings, replaced_sha256)

    async def _regions(self, image: LoadedImage) -> tuple[tuple[Detection, ...], tuple[str, ...]]:
        """The objects of an image and the detector's warnings; the whole image if no object was found."""
        if self._detector is None:
            return (WHOLE_IMAGE_REGION,), ()
        detector, deadline = self._detector, Deadline.after(self._item_time_s)
        async with self._detector_permits:
            with stage("detect"):
                found = await retried(
                    lambda: detector.client.detect(
                        image.data, detector=detector.info.name, deadline=deadline, priority=Priority.BULK
                    ),
                    deadline,
                )
        return tuple(found.detections) or (WHOLE_IMAGE_REGION,), found.warnings

    async def _look_up(self, uris: Sequence[str]) -> Sequence[ImageRecord | None]:
        return await self._store.lookup(self._collection.name, uris)

    async def _write(self, changes: Sequence[NewImage | NewMetadata]) -> Sequence[PutResult | ServiceError]:
        with stage("write"):
            results = await self._store.put(
                self._collection.name, changes, Deadline.after(self._item_time_s), space=self._collection.space
            )
        return [result if result.error is None else result.error for result in results]


async def _has_current_embeddings(live: ImageRecord, image: LoadedImage) -> bool:
    """Whether encoding the image again would give the embeddings that are stored."""
    if live.sha256 != image.sha256 or live.decoder_revision == TO_BE_EMBEDDED:
        return False
    return await asyncio.to_thread(decodes_alike, image.data, live.decoder_revision)


async def _uninterrupted(write: Coroutine[Any, Any, PutResult]) -> PutResult:
    """Completes a write even if its caller leaves: half a write would block the image until its lease expires."""
    task = asyncio.create_task(write)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # asyncio logs an exception that nobody retrieves
        raise


@contextmanager
def _image_errors() -> Iterator[None]:
    """Errors of model servers about an image, as errors about the item's field."""
    try:
        yield
    except InvalidArgument as error:
        raise InvalidArgument(f"item.image: {error.message}", reason=error.reason) from error
