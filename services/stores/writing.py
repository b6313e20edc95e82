"""The one protocol by which images are written.

A version is begun in Redis, its rows are written to Milvus under keys of their own, then Redis makes it live; only
then it is acknowledged, and the rows of the version before are deleted. A crash between any two steps leaves either
the old version or the new one, never both and never none. A write whose outcome is unknown leaves a tombstone: its rows
may still arrive. What is deleted is hidden by Redis first, and says so in Milvus before it is acknowledged.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Concatenate

from rpc.deadline import Deadline
from rpc.errors import Aborted, InvalidArgument, NotFound, ServiceError, Unavailable
from services.stores.definitions import Definitions
from services.stores.drafts import Change, completed, draft_of, is_whole
from services.stores.milvus.rows import deletion_row, rows_of
from services.stores.milvus.store import RowStore
from services.stores.records import (
    Collection,
    DeleteResult,
    Draft,
    NewMetadata,
    PutResult,
    PutStatus,
    Version,
    image_id_of,
    is_image_id,
)
from services.stores.recovery import Recovery
from services.stores.redis.catalog import Begun, RedisCatalog
from services.stores.redis.shards import CatalogLost

LEASE_S = 30.0
WRITE_TIMEOUT_S = 20.0  # well inside the lease: the sweep must not end what is still being written
ABORT_TIMEOUT_S = 1.0
BUSY_WAIT_S = 0.25
DELETE_BATCH = 1000

_logger = logging.getLogger(__name__)


class Writer:
    """Puts and deletes images."""

    def __init__(self, rows: RowStore, catalog: RedisCatalog, definitions: Definitions, recovery: Recovery) -> None:
        self._rows = rows
        self._catalog = catalog
        self._definitions = definitions
        self._recovery = recovery

    async def put(self, name: str, changes: Sequence[Change], deadline: Deadline) -> list[PutResult]:
        """Write images, one result each, in order; of two with one uri the later wins."""
        results: dict[int, PutResult] = {}
        for positions in _rounds(changes):
            chosen = {image_id: changes[position] for image_id, position in positions.items()}
            written = await self._put(name, chosen, deadline)
            # Another writer is usually done in a moment, and the caller would only send the same again.
            busy = {each: chosen[each] for each, result in written.items() if isinstance(result.error, Aborted)}
            if busy:
                await asyncio.sleep(min(BUSY_WAIT_S, deadline.left_s()))
                written |= await self._put(name, busy, deadline)
            results |= {positions[image_id]: result for image_id, result in written.items()}
        return [results[position] for position in range(len(changes))]

    async def delete(self, name: str, image_ids: Sequence[str], deadline: Deadline) -> DeleteResult:
        """Hide images, delete all their rows, forget them."""
        ids = list(dict.fromkeys(filter(is_image_id, image_ids)))
        starts = range(0, len(ids), DELETE_BATCH)
        deleted = [await self._delete(name, ids[start : start + DELETE_BATCH], deadline) for start in starts]
        sha256s = frozenset[str]().union(*(each.sha256s for each in deleted))
        return DeleteResult(sum(each.image_count for each in deleted), sha256s)

    async def _delete(self, name: str, image_ids: Sequence[str], deadline: Deadline) -> DeleteResult:
        """The protocol of a deletion, see docs/architecture.md."""
        with_rebuild, catalog = self._definitions.with_rebuild, self._catalog
        records = await with_rebuild(name, catalog.records, image_ids, deadline)
        hidden = await with_rebuild(name, catalog.mark_deleted, dict.fromkeys(image_ids, 0), deadline)
        versions = {image_id: deletion.version for image_id, deletion in hidden.items()}
        # These rows outlive a loss of Redis: no row up to their version lives after a rebuild.
        dimension = (await self._definitions.get(name)).dimension
        rows = [deletion_row(image_id, version, dimension) for image_id, version in versions.items()]
        await self._rows.upsert(name, rows, deadline)
        # A Redis that was lost and rebuilt before they were there may know the images again.
        hidden_again = await with_rebuild(name, catalog.mark_deleted, versions, deadline)
        purgeable = [deletion.purgeable for deletion in hidden_again.values() if deletion.purgeable.text]
        await with_rebuild(name, self._recovery.purge, purgeable, deadline)
        lived = sum(hidden[each].lived or hidden_again[each].lived for each in hidden)
        return DeleteResult(lived, frozenset(record.sha256 for record in records.values()))

    async def _put(self, name: str, changes: Mapping[str, Change], deadline: Deadline) -> dict[str, PutResult]:
        """The protocol, once, on images that differ."""
        deadline = Deadline(min(deadline.at_s, Deadline.after(WRITE_TIMEOUT_S).at_s))
        with_rebuild = self._definitions.with_rebuild
        completed = await with_rebuild(name, self._complete, changes, deadline)
        drafts = {image_id: draft for image_id, draft in completed.items() if isinstance(draft, Draft)}
        # One token for the whole call: a BEGIN that is sent again after a loss begins nothing twice.
        token = secrets.token_hex(8)
        answers = await with_rebuild(
            name, self._catalog.begin, list(drafts.values()), token=token, lease_s=LEASE_S, deadline=deadline
        )
        begun = {image_id: answer for image_id, answer in answers.items() if isinstance(answer, Begun)}
        written = await self._write(name, drafts, begun, deadline)
        stale = [each for each, answer in begun.items() if answer.replaces or written[each].error]
        if stale:
            rows = f"old rows of {len(stale)} images"
            await self._clean_up(name, rows, self._recovery.purge_images, stale, deadline)
        unwritten = {**completed, **answers}
        return {each: it for each, it in unwritten.items() if isinstance(it, PutResult)} | written

    async def _complete(
        self, collection: Collection, changes: Mapping[str, Change], deadline: Deadline
    ) -> dict[str, Draft | PutResult]:
        """By image_id the draft to write, or the error for which it cannot be written."""
        partial = [image_id for image_id, change in changes.items() if not is_whole(change)]
        records = await self._catalog.records(collection, partial, deadline)
        kept = [record for image_id, record in records.items() if isinstance(changes[image_id], NewMetadata)]
        stored = await self._rows.images(collection.name, kept, deadline)
        drafts: dict[str, Draft | PutResult] = {}
        for image_id, change in changes.items():
            record = records.get(image_id)
            # What was taken from a version may only replace that one: see BEGIN.
            based_on = None if is_whole(change) else record.version if record else 0
            try:
                image = completed(change, record, stored.get(image_id))
                drafts[image_id] = draft_of(image, collection.dimension, time.time(), based_on)
            except (Aborted, InvalidArgument, Unavailable) as error:
                drafts[image_id] = PutResult(image_id, error=error)
        return drafts

    async def _write(
        self, name: str, drafts: Mapping[str, Draft], begun: Mapping[str, Begun], deadline: Deadline
    ) -> dict[str, PutResult]:
        """Write the rows of begun versions and make them live."""
        if not begun:
            return {}
        records = {each: replace(drafts[each].record, version=answer.version) for each, answer in begun.items()}
        versions = [Version(each, record.version, record.region_count) for each, record in records.items()]
        rows = [row for each, record in records.items() for row in rows_of(record, drafts[each].image)]
        try:
            await self._rows.write(name, rows, deadline)
            lives = await self._definitions.with_rebuild(name, self._catalog.commit, versions, deadline)
        except BaseException:
            # Also where the caller left: rows may be there, or arrive later.
            soon = Deadline.after(ABORT_TIMEOUT_S)  # that of the put may be the one that passed
            await self._clean_up(name, f"{len(versions)} versions", self._catalog.abort, versions, soon)
            raise
        results = {}
        for image_id, record in records.items():
            status = PutStatus.UPDATED if begun[image_id].replaces else PutStatus.ADDED
            written = PutResult(image_id, status, region_count=record.region_count)
            results[image_id] = written if lives[image_id] else PutResult.busy(image_id)
        return results

    async def _clean_up(
        self, name: str, what: str, call: Callable[Concatenate[Collection, ...], Awaitable[None]], *args: Any
    ) -> None:
        """Await `call(collection, *args)`; the outcome of the write stands even if this fails, since the sweep repeats it."""
        try:
            collection = await self._definitions.get(name)
            try:
                await call(collection, *args)
            except CatalogLost:
                # Not lost but dropped, where another process created a collection of this name anew.
                if await self._definitions.fresh(name) == collection:
                    raise
        except NotFound:
            pass  # a collection that was dropped took its rows along
        except (ServiceError, CatalogLost) as error:
            _logger.warning("%s: %s are left to the sweep: %s", name, what, error)


def _rounds(changes: Sequence[Change]) -> list[dict[str, int]]:
    """The positions of changes by image_id; in a round each image is written at most once."""
    rounds: list[dict[str, int]] = []
    for position, change in enumerate(changes):
        image_id = image_id_of(change.uri.encode(errors="replace").decode())  # a uri that is not Unicode fails later
        free = next((each for each in rounds if image_id not in each), None)
        if free is None:
            rounds.append(free := {})
        free[image_id] = position
    return rounds
