"""A scrub: compares what Redis and Milvus hold of each image of a collection, and mends what differs, beside writers.

What looks wrong is looked at again, alone: the rows are read with Strong consistency between two questions to Redis, and
only where both answers are the same it is damage, since no writer was between two steps of the protocol. What mends it
changes Redis only while the image is as it was seen.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Concatenate, ParamSpec, TypeVar

from rpc.deadline import Deadline
from rpc.errors import Aborted
from services.stores.definitions import Definitions, Superseded
from services.stores.diagnosis import ROW_FIELDS, Damage, ImageFault, diagnose
from services.stores.drafts import new_image_of
from services.stores.milvus.rows import Row, RowKey, row_keys
from services.stores.milvus.scanning import scan
from services.stores.milvus.store import RowStore
from services.stores.records import TO_BE_EMBEDDED, Collection, ImageRecord, is_image_id
from services.stores.recovery import Recovery
from services.stores.redis.catalog import RedisCatalog
from services.stores.redis.scrubbing import ImageState
from services.stores.redis.shards import SHARDS
from services.stores.writing import Writer

STEP_TIMEOUT_S = 60.0
SCAN_TIMEOUT_S = 6 * 3600.0
PAGE_SIZE = 1000
TRIES = 5  # an image that is written each time is left to the next scrub
TRY_AGAIN_S = 0.1
PURGE_S = 30.0  # longer than a writer works on its images
TWICE_S = 1.0  # a row may come twice while Milvus compacts segments
MAX_DAMAGES = 4  # of one image
CHANGED = "it is being written; the next scrub looks at it again"

EmbedAgain = Callable[[ImageRecord], Awaitable[str]]
"""Ingests an image again from its file; why that failed, empty where it did not."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Finding:
    """Damage of an image; of a shard of the catalog where `image_id` is empty. `detail` says why it was not repaired."""

    image_id: str
    damage: Damage
    repaired: bool = False
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Checked:
    """Images that were gone through, by their records; so a caller can look at their files."""

    records: tuple[ImageRecord, ...]


class Scrub:
    """Scrubs a collection; what it yields is bounded by what is damaged, and its memory by a batch of rows."""

    def __init__(
        self, *, rows: RowStore, catalog: RedisCatalog, definitions: Definitions, recovery: Recovery, writer: Writer
    ) -> None:
        self._rows = rows
        self._catalog = catalog
        self._steps = catalog.scrubs()
        self._definitions = definitions
        self._recovery = recovery
        self._writer = writer

    async def run(self, name: str, *, embed_again: EmbedAgain | None) -> AsyncIterator[Finding | Checked]:
        """What is damaged, and how far the scrub is; with `embed_again` it is repaired.

        Aborted where the collection moves to another encoder meanwhile.
        """
        run = _Run(self._definitions, await self._definitions.fresh(name), embed_again)
        # A Strong read waits for what was written before; the many reads behind it need not wait again, each for 0.3 s.
        await self._rows.has_rows(run.collection, _soon())
        seen_at_s, seen = time.monotonic(), await self._purgeable(run, None)
        async for finding in self._of_catalog(run):
            yield finding
        for shard in SHARDS:
            known: set[str] = set()  # damaged by their rows, so that they are not reported again by their records
            async for finding in self._of_rows(run, shard):
                known.add(finding.image_id)
                yield finding
            async for records, image_ids in self._pages(run, shard):
                async for finding in self._examined(run, [each for each in image_ids if each not in known]):
                    yield finding
                yield Checked(records)
        async for finding in self._of_tombstones(run, seen, seen_at_s):
            yield finding

    async def _of_catalog(self, run: "_Run") -> AsyncIterator[Finding]:
        """Writes whose lease expired, and shards that miscount."""
        expired = await run.ask(self._catalog.expired_leases, _soon())
        if expired and run.is_repairing:
            await run.ask(self._recovery.end_expired, _soon())
            await run.ask(self._recovery.purge_images, [version.image_id for version in expired], _soon())
        for version in expired:
            yield Finding(version.image_id, Damage.OLD_WRITE, run.is_repairing)
        for shard, count in (await run.ask(self._steps.tally, _soon(), repair=run.is_repairing)).items():
            yield Finding("", Damage.WRONG_COUNTS, run.is_repairing, f"{count} in shard {shard}")

    async def _of_tombstones(self, run: "_Run", seen: dict[str, str], seen_at_s: float) -> AsyncIterator[Finding]:
        """Tombstones that were seen at a time and could be removed then: who made them would have done so."""
        seen = {
            image_id: text for image_id, text in (await self._purgeable(run, seen)).items() if text == seen[image_id]
        }
        if seen:
            await asyncio.sleep(max(0.0, seen_at_s + PURGE_S - time.monotonic()))
        for image_id, text in (await self._purgeable(run, seen)).items():
            if text == seen[image_id]:
                if run.is_repairing:
                    await run.ask(self._recovery.purge_images, [image_id], _soon())
                yield Finding(image_id, Damage.OLD_TOMBSTONE, run.is_repairing)

    async def _purgeable(self, run: "_Run", image_ids: Iterable[str] | None) -> dict[str, str]:
        """The tombstones whose rows can be deleted now, by image_id."""
        return {each.image_id: each.text for each in await run.ask(self._catalog.purgeable, _soon(), image_ids)}

    async def _of_rows(self, run: "_Run", shard: str) -> AsyncIterator[Finding]:
        """What is wrong by the rows of a shard."""
        deadline = Deadline.after(SCAN_TIMEOUT_S)
        batches = scan(
            self._rows.query,
            run.collection,
            prefix=shard,
            fields=ROW_FIELDS,
            deadline=deadline,
            unique=False,
        )
        async for rows in batches:
            by_image: dict[str, list[Row]] = defaultdict(list)
            for row in rows:
                by_image[_image_id_of(row)].append(row)
            for row in by_image.pop("", []):
                if run.is_repairing:
                    await self._rows.delete(run.collection.store_name, [row["key"]], _soon())
                yield Finding("", Damage.STRAY_ROWS, run.is_repairing, f"a row under the key {row['key'][:80]}")
            states = await run.ask(self._steps.states, by_image, _soon())
            async for finding in self._examined(run, await asyncio.to_thread(_damaged, states, by_image)):
                yield finding

    async def _pages(self, run: "_Run", shard: str) -> AsyncIterator[tuple[tuple[ImageRecord, ...], list[str]]]:
        """The records of a shard page by page, and which of them look damaged since they lack rows."""
        after = shard
        while True:
            ids = await run.ask(self._catalog.ids, after=after, limit=PAGE_SIZE, deadline=_soon())
            ids = [image_id for image_id in ids if image_id[0] == shard]
            if not ids:
                return
            states = await run.ask(self._steps.states, ids, _soon())
            records = {image_id: record for image_id, state in states.items() if (record := state.record)}
            keys = {
                each.image_id: row_keys(each.image_id, each.version, each.region_count) for each in records.values()
            }
            every_key = [key for each in keys.values() for key in each]
            rows = await self._rows.read(run.collection.store_name, every_key, ["key"], _soon())
            found = {row["key"] for row in rows}
            lacking = [image_id for image_id, state in states.items() if state.live and image_id not in records]
            lacking += [image_id for image_id, each in keys.items() if not found.issuperset(each)]
            yield tuple(records.values()), lacking
            after = ids[-1]

    async def _examined(self, run: "_Run", image_ids: Iterable[str]) -> AsyncIterator[Finding]:
        """What is wrong with images that look damaged."""
        for image_id in image_ids:
            state, found = await self._confirmed(run, image_id)
            for _ in range(MAX_DAMAGES):
                if state is None or found is None:
                    break
                fault = await self._mend(run, state, found) if run.is_repairing else ""
                damage = found.damage
                state, found = await self._confirmed(run, image_id) if run.is_repairing else (None, None)
                if not fault and found is not None and found.damage is damage:
                    fault = "it is damaged still"
                yield Finding(image_id, damage, run.is_repairing and not fault, fault)
                if fault:
                    break

    async def _confirmed(self, run: "_Run", image_id: str) -> tuple[ImageState | None, ImageFault | None]:
        """The image as it is while nobody writes it, with what is wrong; None where it is written all the time."""
        was_twice = False
        for _ in range(TRIES):
            before = await run.ask(self._steps.states, [image_id], _soon())
            rows = await self._rows_of(run, image_id)
            after = await run.ask(self._steps.states, [image_id], _soon())
            if before == after:
                found = diagnose(before[image_id], rows)
                if found is None or found.damage is not Damage.ROW_TWICE or was_twice:
                    return before[image_id], found
                was_twice = True
            await asyncio.sleep(TWICE_S if was_twice else TRY_AGAIN_S)
        return None, None

    async def _rows_of(self, run: "_Run", image_id: str) -> list[Row]:
        """All rows of an image, each as often as it is stored."""
        batches = scan(
            self._rows.query,
            run.collection,
            prefix=image_id,
            fields=ROW_FIELDS,
            deadline=_soon(),
            consistency="Strong",
            unique=False,
        )
        return [row async for batch in batches for row in batch if _image_id_of(row) == image_id]

    async def _mend(self, run: "_Run", state: ImageState, found: ImageFault) -> str:
        """Why the image was not repaired; empty where it was."""
        image_id = state.image_id
        if found.needs_embedding or found.damage is Damage.ROW_TWICE:
            return await self._write_again(run, state, found)
        if found.deleted_to:
            await run.ask(self._catalog.mark_deleted, {image_id: found.deleted_to}, _soon())
        elif (found.record or found.stray) and not await run.ask(
            self._steps.mend, state, _soon(), record=found.record, tombstones=found.tombstones
        ):
            return CHANGED
        await run.ask(self._recovery.purge_images, [image_id], _soon())
        return ""

    async def _write_again(self, run: "_Run", state: ImageState, found: ImageFault) -> str:
        """Write a new version of the image, embedded again unless it is just its rows that are stored twice."""
        record = state.record
        if record is None or run.embed_again is None:
            return "its record cannot be read: ingest the image again"
        # From here on no ingest takes the image for unchanged, so that the next one repairs what fails here.
        if not await run.ask(self._steps.mend, state, _soon(), record=replace(record, decoder_revision=TO_BE_EMBEDDED)):
            return CHANGED
        if found.needs_embedding:
            return await run.embed_again(record)
        stored = (await self._rows.images(run.collection.store_name, [record], _soon())).get(state.image_id)
        if stored is None:
            return CHANGED
        image = new_image_of(record, stored)
        [result] = await self._writer.put(run.collection.name, [image], _soon(), space=run.collection.space)
        return "" if result.error is None else result.error.message


@dataclass(frozen=True, slots=True)
class _Run:
    """One scrub of one collection."""

    definitions: Definitions
    collection: Collection
    embed_again: EmbedAgain | None

    @property
    def is_repairing(self) -> bool:
        return self.embed_again is not None

    async def ask(
        self, call: Callable[Concatenate[Collection, _P], Awaitable[_T]], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Await `call(collection, ...)`, after a rebuild where Redis lost the collection."""
        try:
            return await self.definitions.on(self.collection, call, *args, **kwargs)
        except Superseded as error:
            raise Aborted(f"the collection {self.collection.name} moved while it was checked; call again") from error


def _image_id_of(row: Row) -> str:
    """The image that a row is of by its key; empty where that is not a key of ours."""
    try:
        image_id = RowKey.parse(row["key"]).image_id
    except ValueError:
        return ""
    return image_id if is_image_id(image_id) else ""


def _damaged(states: Mapping[str, ImageState], rows: Mapping[str, Sequence[Row]]) -> list[str]:
    return [image_id for image_id, state in states.items() if diagnose(state, rows[image_id])]


def _soon() -> Deadline:
    return Deadline.after(STEP_TIMEOUT_S)
