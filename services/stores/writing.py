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
from services.stores.definitions import Definitions, Superseded, check_space
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
    Sealed,
    SpaceChanged,
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
RETRY_WAIT_S = 0.2
DELETE_BATCH = 1000

_logger = logging.getLogger(__name__)


class Writer:
    """Puts and deletes images."""

    def __init__(
        self,
        rows: RowStore,
        catalog: RedisCatalog,
        definitions: Definitions,
        recovery: Recovery,
        tidy: Callable[[str], Awaitable[None]],
    ) -> None:
        self._rows = rows
        self._catalog = catalog
        self._definitions = definitions
        self._recovery = recovery
        self._tidy = tidy  # opens a collection that a move left sealed

    async def put(
        self, name: str, changes: Sequence[Change], deadline: Deadline, *, space: str = ""
    ) -> list[PutResult]:
        """Write images, one result each, in order; of two with one uri the later wins.

        Images whose embeddings are of another `space` than the collection get SpaceChanged.
        """
        results: dict[int, PutResult] = {}
        for positions in _rounds(changes):
            left = {image_id: changes[position] for image_id, position in positions.items()}
            waited_for_writers = False
            while left:
                try:
                    written = await self._put(name, left, space, deadline)
                except Superseded:
                    continue
                results |= {positions[image_id]: result for image_id, result in written.items()}
                sealed = [each for each in left if isinstance(written[each].error, Sealed)]
                # Another writer is usually done in a moment, and the caller would only send the same again: once.
                busy = [each for each in left if isinstance(written[each].error, Aborted) and not waited_for_writers]
                waited_for_writers |= bool(busy)
                kept_out = {each: left[each] for each in sealed + busy}
                left = kept_out if kept_out and await self._waited(name, deadline, sealed=bool(sealed)) else {}
        return [results[position] for position in range(len(changes))]

    async def delete(self, name: str, image_ids: Sequence[str], deadline: Deadline) -> DeleteResult:
        """Hide images, delete all their rows, forget them."""
        ids = list(dict.fromkeys(filter(is_image_id, image_ids)))
        deleted = []
        for start in range(0, len(ids), DELETE_BATCH):
            left = ids[start : start + DELETE_BATCH]
            while left:
                result, left = await self._delete(name, left, deadline)
                deleted.append(result)
                if left and not await self._waited(name, deadline, sealed=True):
                    raise Sealed
        sha256s = frozenset[str]().union(*(each.sha256s for each in deleted))
        return DeleteResult(sum(each.image_count for each in deleted), sha256s)

    async def _waited(self, name: str, deadline: Deadline, *, sealed: bool) -> bool:
        """Wait a moment for other writers, or for the move that sealed the collection; False where no time is left."""
        if deadline.left_s() <= RETRY_WAIT_S:
            return False
        await asyncio.sleep(RETRY_WAIT_S)
        if sealed:
            await self._tidy(name)
            await self._definitions.fresh(name)
        return True

    async def _delete(self, name: str, image_ids: Sequence[str], deadline: Deadline) -> tuple[DeleteResult, list[str]]:
        """The protocol of a deletion, see docs/architecture.md; the ids that a seal left as they are."""
        with_rebuild, catalog = self._definitions.with_rebuild, self._catalog
        records = await with_rebuild(name, catalog.records, image_ids, deadline)
        marked = await with_rebuild(name, catalog.mark_deleted, dict.fromkeys(image_ids, 0), deadline)
        hidden = {image_id: deletion for image_id, deletion in marked.items() if deletion.version}
        left = [image_id for image_id in image_ids if image_id not in hidden]
        if not hidden:
            return DeleteResult(0, frozenset()), left
        versions = {image_id: deletion.version for image_id, deletion in hidden.items()}
        # These rows outlive a loss of Redis: no row up to their version lives after a rebuild.
        collection = await self._definitions.get(name)
        rows = [deletion_row(image_id, version, collection.dimension) for image_id, version in versions.items()]
        await self._rows.upsert(collection.store_name, rows, deadline)
        # A Redis that was lost and rebuilt before they were there may know the images again.
        hidden_again = await with_rebuild(name, catalog.mark_deleted, versions, deadline)
        purgeable = [deletion.purgeable for deletion in hidden_again.values() if deletion.purgeable.text]
        await with_rebuild(name, self._recovery.purge, purgeable, deadline)
        lived = sum(hidden[each].lived or hidden_again[each].lived for each in hidden)
        sha256s = frozenset(record.sha256 for image_id, record in records.items() if image_id in hidden)
        return DeleteResult(lived, sha256s), left

    async def _put(
        self, name: str, changes: Mapping[str, Change], space: str, deadline: Deadline
    ) -> dict[str, PutResult]:
        """The protocol, once, on images that differ."""
        collection = await self._definitions.get(name)
        try:
            check_space(collection, space)
        except SpaceChanged as error:
            return {image_id: PutResult(image_id, error=error) for image_id in changes}
        deadline = Deadline(min(deadline.at_s, Deadline.after(WRITE_TIMEOUT_S).at_s))
        on = self._definitions.on
        completed = await on(collection, self._complete, changes, deadline)
        drafts = {image_id: draft for image_id, draft in completed.items() if isinstance(draft, Draft)}
        # One token for the whole call: a BEGIN that is sent again after a loss begins nothing twice.
        token = secrets.token_hex(8)
        answers = await on(
            collection, self._catalog.begin, list(drafts.values()), token=token, lease_s=LEASE_S, deadline=deadline
        )
        begun = {image_id: answer for image_id, answer in answers.items() if isinstance(answer, Begun)}
        written = await self._write(collection, drafts, begun, deadline)
        stale = [each for each, answer in begun.items() if answer.replaces or written[each].error]
        if stale:
            rows = f"old rows of {len(stale)} images"
            await self._clean_up(collection, rows, self._recovery.purge_images, stale, deadline)
        unwritten = {**completed, **answers}
        return {each: it for each, it in unwritten.items() if isinstance(it, PutResult)} | written

    async def _complete(
        self, collection: Collection, changes: Mapping[str, Change], deadline: Deadline
    ) -> dict[str, Draft | PutResult]:
        """By image_id the draft to write, or the error for which it cannot be written."""
        partial = [image_id for image_id, change in changes.items() if not is_whole(change)]
        records = await self._catalog.records(collection, partial, deadline) if partial else {}
        kept = [record for image_id, record in records.items() if isinstance(changes[image_id], NewMetadata)]
        stored = await self._rows.images(collection.store_name, kept, deadline)
        drafts: dict[str, Draft | PutResult] = {}
        for image_id, change in changes.items():
            record = records.get(image_id)
            # What was taken from a version may only replace that one: see BEGIN.
            based_on = None if is_whole(change) else record.version if record else 0
            try:
                image = completed(change, record, stored.get(image_id))
                drafts[image_id] = draft_of(image, collection, time.time(), based_on)
            except (Aborted, InvalidArgument, Unavailable) as error:
                drafts[image_id] = PutResult(image_id, error=error)
        return drafts

    async def _write(
        self, collection: Collection, drafts: Mapping[str, Draft], begun: Mapping[str, Begun], deadline: Deadline
    ) -> dict[str, PutResult]:
        """Write the rows of begun versions and make them live."""
        if not begun:
            return {}
        records = {each: replace(drafts[each].record, version=answer.version) for each, answer in begun.items()}
        versions = [Version(each, record.version, record.region_count) for each, record in records.items()]
        rows = [row for each, record in records.items() for row in rows_of(record, drafts[each].image)]
        try:
            await self._rows.add(collection.store_name, rows, deadline)
            lives = await self._definitions.on(collection, self._catalog.commit, versions, deadline)
        except BaseException:
            # Also where the caller left: rows may be there, or arrive later.
            soon = Deadline.after(ABORT_TIMEOUT_S)  # that of the put may be the one that passed
            await self._clean_up(collection, f"{len(versions)} versions", self._catalog.abort, versions, soon)
            raise
        results = {}
        for image_id, record in records.items():
            status = PutStatus.UPDATED if begun[image_id].replaces else PutStatus.ADDED
            written = PutResult(image_id, status, region_count=record.region_count)
            results[image_id] = written if lives[image_id] else PutResult.busy(image_id)
        return results

    async def _clean_up(
        self,
        collection: Collection,
        what: str,
        call: Callable[Concatenate[Collection, ...], Awaitable[None]],
        *args: Any,
    ) -> None:
        """Await `call(collection, *args)`; the outcome of the write stands even if this fails, since the sweep repeats it."""
        try:
            try:
                await call(collection, *args)
            except CatalogLost:
                # Not lost but dropped or moved, where the name stands for another collection.
                await self._definitions.require_current(collection)
                raise
        except (NotFound, Superseded):
            pass  # what is not served any more has no use for it
        except (ServiceError, CatalogLost) as error:
            _logger.warning("%s: %s are left to the sweep: %s", collection.name, what, error)


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
