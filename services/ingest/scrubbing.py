"""Scrubbing: the stores' scrub of a collection with what it needs of ingest, and a look at the kept files."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from rpc.errors import ServiceError
from services.ingest.admission import ItemAdmission
from services.ingest.item import Failed, Item
from services.ingest.stream import Ingester
from services.stores.diagnosis import Damage
from services.stores.images import ImageStore
from services.stores.records import ImageRecord
from services.stores.scrubbing import Finding


@dataclass(frozen=True, slots=True)
class ScrubProgress:
    """How many images of how many were checked."""

    checked_count: int
    total_count: int


class Scrubber:
    """Scrubs collections, see services/stores/scrubbing.py."""

    def __init__(self, *, store: ImageStore, ingester: Ingester, admission: ItemAdmission) -> None:
        self._store = store
        self._ingester = ingester
        self._admission = admission

    async def scrub(self, name: str, *, repair: bool) -> AsyncGenerator[Finding | ScrubProgress, None]:
        """What is damaged and, asked to, repaired, and how far the scrub is; the last message is of progress."""
        total, checked = (await self._store.counts(name)).image_count, 0
        yield ScrubProgress(0, total)

        async def embed_again(record: ImageRecord) -> str:
            return await self._ingest_again(name, record)

        async for each in self._store.scrub.run(name, embed_again=embed_again if repair else None):
            if isinstance(each, Finding):
                yield each
                continue
            for finding in await self._of_files(name, each.records, repair=repair):
                yield finding
            checked += len(each.records)
            yield ScrubProgress(checked, max(checked, total))
        yield ScrubProgress(checked, checked)

    async def _of_files(self, name: str, records: Sequence[ImageRecord], *, repair: bool) -> list[Finding]:
        """The images whose files are damaged."""
        suspects = [each for each in records if await self._admission.file_damage(each.uri, each.sha256)]
        # An image that was deleted or changed since it was listed has released its file.
        live = await self._store.lookup(name, [each.uri for each in suspects])
        same = [each for each, now in zip(suspects, live, strict=True) if now and now.version == each.version]
        return [finding for each in same if (finding := await self._of_file(each, repair=repair))]

    async def _of_file(self, record: ImageRecord, *, repair: bool) -> Finding | None:
        damage = await self._admission.file_damage(record.uri, record.sha256)
        if damage is None:
            return None
        if damage is Damage.WRONG_FILE and repair:
            await self._admission.remove_kept(record.sha256)
            if await self._admission.file_damage(record.uri, record.sha256) is None:
                return Finding(record.image_id, damage, repaired=True)
        return Finding(record.image_id, damage, detail=f"{record.uri}: send it again or delete it")

    async def _ingest_again(self, name: str, record: ImageRecord) -> str:
        """Ingest an image from the bytes that it was ingested with; why that failed, empty where it did not."""

        async def items() -> AsyncIterator[Item]:
            async with self._admission.reread(record.uri, record.sha256) as data:
                item = Item(record.uri, data, None)
            yield item

        try:
            async with self._ingester.stream(name) as stream, aclosing(stream.outcomes(items())) as outcomes:
                outcome = await anext(outcomes)
            return outcome.error.message if isinstance(outcome, Failed) else ""
        except ServiceError as error:
            return error.message
