"""The one protocol by which pictures are written.

A version is begun in Redis, its rows are written to Milvus under keys of their own, then Redis makes it live; only
then it is acknowledged, and the rows of the version before are deleted. A crash between any two steps leaves either
the old version or the new one, never both and never none. A write whose outcome is unknown leaves a tombstone: its rows
may still arrive. What is deleted is hidden by Redis first, and says so in Milvus before it is acknowledged.
"""

import asyncio
import logging
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from rpc.deadline import Deadline
from rpc.errors import Aborted, NotFound, ServiceError
from services.stores.catalog import Begun, Busy, RedisCatalog, Unchanged
from services.stores.completing import Change, Completer
from services.stores.definitions import Definitions
from services.stores.drafts import Prepared
from services.stores.milvus import MilvusIndex
from services.stores.records import Deleted, PutResult, PutStatus, image_id_of, is_image_id
from services.stores.recovery import Recovery
from services.stores.rows import deletion_row, rows_of
from services.stores.shards import CatalogLost
from services.stores.tombstones import Version

LEASE_S = 30.0
WRITE_TIMEOUT_S = 20.0  # well inside the lease: nobody may sweep what is still being written
ABANDON_TIMEOUT_S = 1.0
BUSY_WAIT_S = 0.25
DELETE_BATCH = 1000

_logger = logging.getLogger(__name__)


class Writer:
    """Puts and deletes pictures."""

    def __init__(self, index: MilvusIndex, catalog: RedisCatalog, definitions: Definitions, recovery: Recovery) -> None:
        self._index = index
        self._catalog = catalog
        self._definitions = definitions
        self._recovery = recovery
        self._completer = Completer(index, catalog)

    async def put(self, name: str, changes: Sequence[Change], deadline: Deadline) -> list[PutResult]:
        """Write images, one result each, in order; of two with one uri the later wins."""
        results: dict[int, PutResult] = {}
        waves: list[dict[str, tuple[int, Change]]] = []
        for place, change in enumerate(changes):
            image_id = _id_of_any(change.uri)
            _first_without(waves, image_id)[image_id] = (place, change)
        for wave in waves:
            written = await self._put_twice(name, {each: change for each, (_, change) in wave.items()}, deadline)
            results |= {place: written[image_id] for image_id, (place, _) in wave.items()}
        return [results[place] for place in range(len(changes))]

    async def delete(self, name: str, image_ids: Sequence[str], deadline: Deadline) -> Deleted:
        """Hide images, delete all their rows, forget them."""
        ids = list(dict.fromkeys(each for each in image_ids if is_image_id(each)))
        deleted = Deleted()
        for start in range(0, len(ids), DELETE_BATCH):
            batch = await self._delete(name, ids[start : start + DELETE_BATCH], deadline)
            deleted = Deleted(deleted.image_count + batch.image_count, deleted.sha256s | batch.sha256s)
        return deleted

    async def _delete(self, name: str, image_ids: Sequence[str], deadline: Deadline) -> Deleted:
        """The protocol of a deletion, see docs/architecture.md.

        The row that says so in Milvus outlives a loss of Redis: no row up to its version lives after a rebuild. A Redis
        that was rebuilt before the row was there may know the image again, hence the second look.
        """
        whole, catalog = self._definitions.whole, self._catalog
        records = await whole(name, lambda it: catalog.records(it, image_ids, deadline))
        everything = dict.fromkeys(image_ids, 0)
        hidden = await whole(name, lambda it: catalog.retire(it, everything, deadline))
        versions = {image_id: each.version for image_id, each in hidden.items()}
        dimension = (await self._definitions.get(name)).dimension
        rows = [deletion_row(image_id, version, dimension) for image_id, version in versions.items()]
        await self._index.upsert(name, rows, deadline)
        again = await whole(name, lambda it: catalog.retire(it, versions, deadline))
        due = {image_id: each.due for image_id, each in again.items() if each.due}
        await whole(name, lambda it: self._recovery.bury(it, due, deadline))
        lived = sum(hidden[each].lived or again[each].lived for each in hidden)
        return Deleted(lived, frozenset(record.sha256 for record in records.values()))

    async def _put_twice(self, name: str, changes: Mapping[str, Change], deadline: Deadline) -> dict[str, PutResult]:
        """Write images; those that somebody else is writing are tried once more."""
        results = await self._put(name, changes, deadline)
        busy = {each: changes[each] for each, result in results.items() if isinstance(result.error, Aborted)}
        if busy:
            await asyncio.sleep(min(BUSY_WAIT_S, deadline.left_s()))
            results |= await self._put(name, busy, deadline)
        return results

    async def _put(self, name: str, changes: Mapping[str, Change], deadline: Deadline) -> dict[str, PutResult]:
        """The protocol, once."""
        deadline = Deadline(min(deadline.at_s, Deadline.after(WRITE_TIMEOUT_S).at_s))
        completed = await self._definitions.whole(name, lambda it: self._completer.complete(it, changes, deadline))
        images = {image_id: image for image_id, image in completed.items() if isinstance(image, Prepared)}
        token = secrets.token_hex(8)
        drafts = [image.draft for image in images.values()]
        answers = await self._definitions.whole(
            name, lambda it: self._catalog.begin(it, drafts, token=token, lease_s=LEASE_S, deadline=deadline)
        )
        begun = {image_id: answer for image_id, answer in answers.items() if isinstance(answer, Begun)}
        lives = await self._written(name, images, begun, deadline)
        stale = [image_id for image_id, answer in begun.items() if answer.replaces or not lives[image_id]]
        await self._bury(name, stale, deadline)
        errors = {
            each: PutResult(each, error=error) for each, error in completed.items() if isinstance(error, Exception)
        }
        return errors | {
            image_id: _result(answer, images[image_id], is_live=lives.get(image_id, False))
            for image_id, answer in answers.items()
        }

    async def _written(
        self, name: str, images: Mapping[str, Prepared], begun: Mapping[str, Begun], deadline: Deadline
    ) -> dict[str, bool]:
        """Write the rows of begun versions and make them live; False for a version that lost to another."""
        if not begun:
            return {}
        records = {each: replace(images[each].record, version=answer.version) for each, answer in begun.items()}
        versions = [Version(each, record.version, record.region_count) for each, record in records.items()]
        rows = [row for each, record in records.items() for row in rows_of(record, images[each].image)]
        try:
            await self._index.write(name, rows, deadline)
            return await self._definitions.whole(name, lambda it: self._catalog.commit(it, versions, deadline))
        except BaseException:
            await self._abandon(name, versions)
            raise

    async def _abandon(self, name: str, versions: Sequence[Version]) -> None:
        """Make tombstones of a write whose outcome is unknown; where even that fails, the sweep does it."""
        with self._left_to_the_sweep(name, f"{len(versions)} versions"):
            collection = await self._definitions.get(name)
            try:
                await self._catalog.abandon(collection, versions, Deadline.after(ABANDON_TIMEOUT_S))
            except CatalogLost:
                await self._definitions.check_current(collection)
                raise

    async def _bury(self, name: str, image_ids: Sequence[str], deadline: Deadline) -> None:
        """Delete the rows that new versions replaced, or that lost; what lives does so whatever becomes of this."""
        if not image_ids:
            return
        with self._left_to_the_sweep(name, f"old rows of {len(image_ids)} images"):
            collection = await self._definitions.get(name)
            try:
                due = await self._catalog.due_of(collection, image_ids, deadline)
                await self._recovery.bury(collection, due, deadline)
            except CatalogLost:
                await self._definitions.check_current(collection)
                raise

    @contextmanager
    def _left_to_the_sweep(self, name: str, what: str) -> Iterator[None]:
        """Log a cleanup that failed: the sweep repeats it. A collection that was dropped took its rows along."""
        try:
            yield
        except NotFound:
            pass
        except (ServiceError, CatalogLost) as error:
            _logger.warning("%s: %s are left to the sweep: %s", name, what, error)


def _first_without(waves: list[dict[str, tuple[int, Change]]], image_id: str) -> dict[str, tuple[int, Change]]:
    """The first wave that lacks a picture: within a wave each is written once."""
    for wave in waves:
        if image_id not in wave:
            return wave
    waves.append({})
    return waves[-1]


def _result(answer: Begun | Unchanged | Busy, image: Prepared, *, is_live: bool) -> PutResult:
    image_id = image.record.image_id
    if isinstance(answer, Unchanged):
        return PutResult(image_id, PutStatus.UNCHANGED, region_count=answer.region_count)
    if isinstance(answer, Begun) and is_live:
        status = PutStatus.UPDATED if answer.replaces else PutStatus.ADDED
        return PutResult(image_id, status, region_count=image.record.region_count)
    return PutResult(image_id, error=Aborted("somebody else is writing this picture; send it again"))


def _id_of_any(uri: str) -> str:
    """The id of a uri that may be no Unicode text."""
    return image_id_of(uri.encode(errors="replace").decode())
