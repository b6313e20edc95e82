"""Reindexing: embeds the images of a collection with another encoder, beside it, until the new embeddings can be served."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from domain.detection import Detection
from encoders.images.decoding import DECODER_REVISION
from rpc.clients import Input
from rpc.deadline import Deadline
from rpc.directory import EncoderDirectory, EncoderEntry
from rpc.errors import FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from rpc.tasks import gather
from services.ingest.admission import ItemAdmission
from services.ingest.collections import image_encoder
from services.ingest.encoding import Encodings
from services.ingest.settings import IngestSettings
from services.stores.definitions import MAX_AGE_S
from services.stores.images import ImageStore
from services.stores.moves import Move
from services.stores.records import WHOLE_IMAGE_REGION, CollectionMode, ImageRecord, StoredImage

BATCH = 64
CHUNK = 4 * BATCH  # images between two messages of progress
CATCH_UP_S = 600.0  # the longest that changes are copied while writers go on, should they be faster
PAUSE_S = 5.0  # the longest that writers wait for the last changes to be copied; then they go on for BREAK_S
DRAIN_S = 1.0  # the longest that they wait for one among them to end
BREAK_S = 1.0
DRAIN_WAIT_S = 0.02


@dataclass(frozen=True, slots=True)
class ReindexProgress:
    """How many images of how many are copied, and how many cannot be."""

    done_count: int
    total_count: int
    failed_count: int


class Reindexer:
    """Moves collections to other encoders, see services/stores/moves.py."""

    def __init__(
        self, *, store: ImageStore, directory: EncoderDirectory, admission: ItemAdmission, settings: IngestSettings
    ) -> None:
        self._store = store
        self._directory = directory
        self._admission = admission
        self._settings = settings

    async def reindex(
        self, name: str, encoder: str, *, rollback: bool = False, drop_old: bool = False
    ) -> AsyncGenerator[ReindexProgress, None]:
        """Progress until the new embeddings are served; searches answer from the old ones until then.

        A call that was cut off is repeated: it goes on where that ended. FailedPrecondition where an image cannot be
        embedded: then the old embeddings stay, all of them.
        """
        if encoder and rollback:
            raise InvalidArgument("encoder: a rollback returns to the former one; leave it empty")
        entry = await self._entry(name, encoder, rollback=rollback)
        info, collection = entry.info, await self._store.get(name)
        # So that a caller knows at once that nothing is wrong with the request.
        yield ReindexProgress(0, (await self._store.counts(name)).image_count, 0)
        if info.space != collection.space:
            async with self._store.moves.open(
                name, space=info.space, encoder=info.name, dimension=info.dimension
            ) as move:
                async with (
                    Copier(move, entry, self._admission, self._settings) as copier,
                    aclosing(copier.run()) as progress,
                ):
                    async for each in progress:
                        yield each
                await self._store.serving.drop_others(name, but=(move.source.store_name,))
        if drop_old:
            # Searches that know the old definition, for MAX_AGE_S at most, are answered still.
            await asyncio.sleep(2 * MAX_AGE_S)
            await self._store.serving.drop_others(name)
        count = (await self._store.counts(name)).image_count
        yield ReindexProgress(count, count, 0)

    async def _entry(self, name: str, encoder: str, *, rollback: bool) -> EncoderEntry:
        if rollback:
            former = await self._store.serving.former(name)
            return await self._directory.checked(former.encoder, former.space)
        return await image_encoder(self._directory, encoder, field="encoder")


class MoveRun(ABC):
    """One run of a move: what it copies is made by `_images`."""

    def __init__(self, move: Move) -> None:
        self._move = move
        self._failed: dict[str, str] = {}  # by image_id why an image cannot be copied
        self._total = self._done = 0

    @abstractmethod
    async def _images(self, records: Sequence[ImageRecord]) -> list[StoredImage]:
        """These images as the target needs them; those that changed meanwhile, or are among the failed, are left out."""

    async def run(self) -> AsyncGenerator[ReindexProgress, None]:
        """Copy until both sides are the same and the new one is served."""
        self._total = await self._move.count()
        yield self._progress()
        async for count, missing in self._move.differences():
            self._done += count - len(missing)
            for start in range(0, len(missing), CHUNK):
                self._done += await self._copy(missing[start : start + CHUNK])
                yield self._progress()
        await self._move.index_target()
        catching_up = Deadline.after(CATCH_UP_S)
        while (changed := await self._move.changes(CHUNK)) is not None:
            await self._copy(changed)
            yield self._progress()
            if len(changed) <= BATCH or catching_up.left_s() <= 0:
                break  # the rest is copied while writers wait
        await self._require_all()
        while not await self._switch():
            yield self._progress()
            await asyncio.sleep(BREAK_S)
            await self._move.sweep()

    async def _switch(self) -> bool:
        """Serve the target once nothing differs any more; False where writers waited for long enough."""
        limit, draining = Deadline.after(PAUSE_S), Deadline.after(DRAIN_S)
        async with self._move.sealed():
            while limit.left_s() > 0:
                # In this order: what was begun before the seal is in the log before it counts as ended.
                is_drained, changed = await self._move.is_drained(), await self._move.changes(BATCH)
                if changed is not None:
                    await self._copy(changed)
                    await self._require_all()
                elif is_drained:
                    await self._move.verify()
                    await self._move.switch()
                    return True
                elif draining.left_s() <= 0:
                    return False  # as a writer that died leaves it, until its lease expires
                else:
                    await asyncio.sleep(DRAIN_WAIT_S)
        return False

    async def _copy(self, records: Sequence[ImageRecord]) -> int:
        """How many of these images are copied; the others may be among the failed."""
        batches = [records[start : start + BATCH] for start in range(0, len(records), BATCH)]
        return sum(await gather(*map(self._copy_batch, batches)))

    async def _copy_batch(self, records: Sequence[ImageRecord]) -> int:
        if made := await self._images(records):
            await self._move.adopt(made)
        return len(made)

    async def _require_all(self) -> None:
        """FailedPrecondition if an image cannot be copied and is still stored."""
        image_ids = list(self._failed)
        self._failed.clear()
        self._done += await self._copy(await self._move.missing(image_ids))
        if self._failed:
            first, count = next(iter(self._failed.values())), len(self._failed)
            raise FailedPrecondition(
                f"{count} of the images cannot be embedded, the first is {first}. Nothing has changed. Make them readable "
                "(`fovea ingest FOLDER --copy` copies those outside the image roots) or delete them (`--prune` deletes those "
                "whose files are gone), then call again"
            )

    def _progress(self) -> ReindexProgress:
        return ReindexProgress(self._done, max(self._total, self._done), len(self._failed))


class Copier(MoveRun):
    """Embeds the images of one move with another encoder; an async context manager."""

    def __init__(self, move: Move, encoder: EncoderEntry, admission: ItemAdmission, settings: IngestSettings) -> None:
        super().__init__(move)
        self._admission = admission
        self._encodings = Encodings(encoder, move.target.space, settings)
        self._batchers = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._batchers.enter_async_context(self._encodings)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._batchers.aclose()

    async def _images(self, records: Sequence[ImageRecord]) -> list[StoredImage]:
        """Those of these images that are still there and can be embedded."""
        regions, embedded = await self._regions(records), await self._move.embedded(records)

        async def image_of(record: ImageRecord) -> StoredImage | None:
            known, own = embedded.get(record.image_id), regions[record.image_id]
            if known and known.record.decoder_revision == DECODER_REVISION and known.regions == own:
                # Only what is not embedded changed, such as metadata.
                return replace(known, record=replace(record, decoder_revision=DECODER_REVISION))
            return await self._embed(record, own)

        # What has no regions any more was changed meanwhile, and is among the changes.
        outcomes = await gather(*(image_of(record) for record in records if record.image_id in regions))
        return [image for image in outcomes if image is not None]

    async def _regions(self, records: Sequence[ImageRecord]) -> dict[str, tuple[Detection, ...]]:
        """The stored regions by image_id, so that nothing is detected again."""
        if self._move.source.mode is CollectionMode.WHOLE_IMAGE:
            return {record.image_id: (WHOLE_IMAGE_REGION,) for record in records}
        return {image_id: image.regions for image_id, image in (await self._move.stored(records)).items()}

    async def _embed(self, record: ImageRecord, regions: tuple[Detection, ...]) -> StoredImage | None:
        """The image with its new embeddings; None if it cannot be embedded."""
        boxes = tuple(region.box for region in regions if region != WHOLE_IMAGE_REGION)
        try:
            async with self._admission.reread(record.uri, record.sha256) as data:
                embedded = await self._encodings.submit(Input(data, "image", boxes))
        except (InvalidArgument, NotFound, PermissionDenied) as error:
            self._failed[record.image_id] = f"{record.uri}: {error.message}"
            return None
        embeddings = np.stack([one.embedding for one in embedded])
        return StoredImage(replace(record, decoder_revision=DECODER_REVISION), regions, embeddings)
