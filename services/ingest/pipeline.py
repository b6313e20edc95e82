"""Pipeline: one stream's way from a picture that was read to rows that can be found, in batches that overlap."""

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from itertools import islice
from typing import Any, Self

import numpy as np

from encoders.decoder_revision import DECODER_REVISION, decodes_alike
from rpc.clients import Embedded, Input, calls_of
from rpc.deadline import Deadline
from rpc.directory import DetectorEntry, EncoderEntry
from rpc.errors import FailedPrecondition, InvalidArgument, ServiceError, Unavailable
from rpc.priority import Priority
from rpc.telemetry import stage
from services.ingest.batcher import Batcher
from services.ingest.item import Added, Picture
from services.ingest.patience import patiently
from services.ingest.settings import IngestSettings
from services.stores.entries import is_same_metadata
from services.stores.images import ImageStore
from services.stores.records import (
    WHOLE_PICTURE,
    Collection,
    ImageRecord,
    NewImage,
    NewMetadata,
    PutResult,
    PutStatus,
    Region,
)
from sources.errors import SourceError
from sources.uploads import Uploads


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
        uploads: Uploads | None = None,
    ) -> None:
        self._collection = collection
        self._encoder = encoder
        self._detector = detector
        self._store = store
        self._uploads = uploads
        self._item_time_s = settings.item_time_s
        self._detecting = asyncio.Semaphore(settings.detect_calls)
        self._live: Batcher[str, ImageRecord | None] = Batcher(
            self._look_up, max_requests=settings.write_batch, calls=settings.write_calls
        )
        self._encoded: Batcher[Input, list[Embedded]] = Batcher(
            self._encode,
            max_requests=settings.encode_batch,
            calls=settings.encode_calls,
            max_bytes=settings.encode_batch_mib << 20,
            size_of=lambda item: len(item.content),
        )
        self._written: Batcher[NewImage | NewMetadata, PutResult] = Batcher(
            self._write, max_requests=settings.write_batch, calls=settings.write_calls
        )
        self._workers = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for batcher in (self._live, self._encoded, self._written):
            await self._workers.enter_async_context(batcher)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._workers.aclose()

    async def add(self, picture: Picture) -> Added:
        """Returns when the picture is durable and findable; raises ServiceError."""
        live = await self._live.ask(picture.uri)
        if live is not None and await _is_current(live, picture):
            return await self._keep(live, picture)
        with _faults_of_the_image():
            regions, warnings = await self._regions(picture)
            boxes = tuple(region.box for region in regions if region.box is not None)
            embedded = await self._encoded.ask(Input(picture.data, "image", boxes))
        written = await _to_the_end(self._written.ask(_new_image(picture, regions, embedded)))
        warnings = picture.warnings + warnings + tuple(warning for one in embedded for warning in one.warnings)
        assert written.status is not None, "a write that did not fail has a status"
        await self._keep_upload(picture)
        replaced_sha256 = live.sha256 if live is not None and live.sha256 != picture.sha256 else ""
        return Added(
            picture.uri,
            written.image_id,
            written.status,
            written.region_count,
            tuple(dict.fromkeys(warnings)),
            replaced_sha256,
        )

    async def _keep_upload(self, picture: Picture) -> None:
        """Keep an upload once more: its file may have been taken away as unused before the picture lived."""
        if picture.is_kept and self._uploads is not None:
            try:
                await asyncio.to_thread(self._uploads.keep, picture.sha256, picture.data)
            except SourceError as error:
                raise Unavailable(str(error)) from error

    async def _keep(self, live: ImageRecord, picture: Picture) -> Added:
        """Keep the embeddings of a live image; only metadata that are sent and differ are written."""
        if picture.metadata is None or is_same_metadata(picture.metadata, live.metadata):
            return Added(picture.uri, live.image_id, PutStatus.UNCHANGED, live.region_count, picture.warnings)
        change = NewMetadata(picture.uri, picture.sha256, picture.metadata)
        written = await _to_the_end(self._written.ask(change))
        assert written.status is not None, "a write that did not fail has a status"
        return Added(picture.uri, written.image_id, written.status, written.region_count, picture.warnings)

    async def _regions(self, picture: Picture) -> tuple[tuple[Region, ...], tuple[str, ...]]:
        """The objects of a picture and the detector's warnings; the whole picture where no object was found."""
        if self._detector is None:
            return (WHOLE_PICTURE,), ()
        detector, deadline = self._detector, Deadline.after(self._item_time_s)
        async with self._detecting:
            with stage("detect"):
                found = await patiently(
                    lambda: detector.client.detect(
                        picture.data, detector=detector.info.name, deadline=deadline, priority=Priority.BULK
                    ),
                    deadline,
                )
        regions = tuple(Region(d.box, d.label, d.score, d.class_id) for d in found.detections)
        return regions or (WHOLE_PICTURE,), found.warnings

    async def _look_up(self, uris: Sequence[str]) -> Sequence[ImageRecord | None]:
        return await self._store.lookup(self._collection.name, uris)

    async def _encode(self, images: Sequence[Input]) -> list[list[Embedded] | ServiceError]:
        """The embeddings of each image's regions; an image of which one region fails fails alone."""
        deadline = Deadline.after(self._item_time_s)
        outcomes = iter([outcome for call in calls_of(images) for outcome in await self._call(call, deadline)])
        return [_all_or_error(list(islice(outcomes, image.result_count))) for image in images]

    async def _call(self, inputs: Sequence[Input], deadline: Deadline) -> Sequence[Embedded | ServiceError]:
        name = self._encoder.info.name
        with stage("encode"):
            encoded = await patiently(
                lambda: self._encoder.client.encode(inputs, encoder=name, deadline=deadline, priority=Priority.BULK),
                deadline,
            )
        if encoded.space != self._collection.space:
            raise FailedPrecondition(
                f"encoder {name!r} now embeds into space {encoded.space}, the collection holds {self._collection.space}"
            )
        return encoded.outcomes

    async def _write(self, changes: Sequence[NewImage | NewMetadata]) -> Sequence[PutResult | ServiceError]:
        with stage("write"):
            results = await self._store.put(self._collection.name, changes, Deadline.after(self._item_time_s))
        return [result if result.error is None else result.error for result in results]


def _all_or_error(outcomes: Sequence[Embedded | ServiceError]) -> list[Embedded] | ServiceError:
    embedded = [outcome for outcome in outcomes if isinstance(outcome, Embedded)]
    return next((outcome for outcome in outcomes if isinstance(outcome, ServiceError)), embedded)


async def _is_current(live: ImageRecord, picture: Picture) -> bool:
    """Whether the embeddings of a live image are those of the picture."""
    if live.sha256 != picture.sha256:
        return False
    return await asyncio.to_thread(decodes_alike, picture.data, live.decoder_revision)


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
        decoder_revision=DECODER_REVISION,
    )


@contextmanager
def _faults_of_the_image() -> Iterator[None]:
    """What a model server says about the picture is about a field of ours."""
    try:
        yield
    except InvalidArgument as error:
        raise InvalidArgument(f"item.image: {error.message}", reason=error.reason) from error
