"""The one protocol by which pictures are written.

A version is begun in Redis, its rows are written to Milvus under keys of their own, then Redis makes it live; only
then it is acknowledged, and the rows of the version before are deleted. A crash between any two steps leaves either
the old version or the new one, never both and never none. What is deleted is hidden by Redis first.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from rpc.deadline import Deadline
from rpc.errors import Aborted, InvalidArgument, ServiceError
from services.stores.catalog import Begun, Busy, RedisCatalog, Unchanged
from services.stores.definitions import Definitions
from services.stores.drafts import Prepared, prepare
from services.stores.milvus import MilvusIndex
from services.stores.records import NewImage, PutResult, PutStatus, image_id_of, is_image_id
from services.stores.recovery import Recovery
from services.stores.rows import rows_of
from services.stores.shards import CatalogLost

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

    async def put(self, name: str, images: Sequence[NewImage], deadline: Deadline) -> list[PutResult]:
        """Write pictures, one result each, in order; of two with one uri the later wins."""
        dimension = (await self._definitions.get(name)).dimension
        results: dict[int, PutResult] = {}
        waves: list[dict[str, tuple[int, Prepared]]] = []
        for place, image in enumerate(images):
            try:
                prepared = prepare(image, dimension, time.time())
            except InvalidArgument as error:
                results[place] = PutResult(_id_of_any(image.uri), error=error)
                continue
            _first_without(waves, prepared.record.image_id)[prepared.record.image_id] = (place, prepared)
        for wave in waves:
            written = await self._put_twice(name, {each: prepared for each, (_, prepared) in wave.items()}, deadline)
            results |= {place: written[image_id] for image_id, (place, _) in wave.items()}
        return [results[place] for place in range(len(images))]

    async def delete(self, name: str, image_ids: Sequence[str], deadline: Deadline) -> int:
        """Hide pictures, delete all their rows, forget them; tells how many there were."""
        ids = list(dict.fromkeys(each for each in image_ids if is_image_id(each)))
        deleted = 0
        for start in range(0, len(ids), DELETE_BATCH):
            deleted += await self._delete(name, ids[start : start + DELETE_BATCH], deadline)
        return deleted

    async def _delete(self, name: str, image_ids: Sequence[str], deadline: Deadline) -> int:
        retired = await self._definitions.whole(name, lambda it: self._catalog.retire(it, image_ids, deadline))
        dead = {image_id: versions for image_id, (_, versions) in retired.items() if versions}
        await self._definitions.whole(name, lambda it: self._recovery.bury(it, dead, deadline))
        return sum(lived for lived, _ in retired.values())

    async def _put_twice(self, name: str, images: Mapping[str, Prepared], deadline: Deadline) -> dict[str, PutResult]:
        """Write pictures; those that somebody else is writing are tried once more."""
        results = await self._put(name, images, deadline)
        busy = {each: images[each] for each, result in results.items() if isinstance(result.error, Aborted)}
        if busy:
            await asyncio.sleep(min(BUSY_WAIT_S, deadline.left_s()))
            results |= await self._put(name, busy, deadline)
        return results

    async def _put(self, name: str, images: Mapping[str, Prepared], deadline: Deadline) -> dict[str, PutResult]:
        """The protocol, once."""
        deadline = Deadline(min(deadline.at_s, Deadline.after(WRITE_TIMEOUT_S).at_s))
        token = secrets.token_hex(8)
        drafts = [image.draft for image in images.values()]
        answers = await self._definitions.whole(
            name, lambda it: self._catalog.begin(it, drafts, token=token, lease_s=LEASE_S, deadline=deadline)
        )
        begun = {image_id: answer for image_id, answer in answers.items() if isinstance(answer, Begun)}
        committed = await self._written(name, images, begun, deadline)
        await self._bury(name, [image_id for image_id, answer in begun.items() if answer.replaces], deadline)
        return {
            image_id: _result(answer, images[image_id], is_live=committed.get(image_id, False))
            for image_id, answer in answers.items()
        }

    async def _written(
        self, name: str, images: Mapping[str, Prepared], begun: Mapping[str, Begun], deadline: Deadline
    ) -> dict[str, bool]:
        """Write the rows of begun versions and make them live; False for a version that lost to another."""
        if not begun:
            return {}
        versions = {image_id: answer.version for image_id, answer in begun.items()}
        rows = [
            row
            for image_id, version in versions.items()
            for row in rows_of(replace(images[image_id].record, version=version), images[image_id].image)
        ]
        try:
            await self._index.write(name, rows, deadline)
            return await self._definitions.whole(name, lambda it: self._catalog.commit(it, versions, deadline))
        except BaseException:
            await self._abandon(name, versions)
            raise

    async def _abandon(self, name: str, versions: Mapping[str, int]) -> None:
        """Give a failed write up at once; where even that fails, the sweep does it when the lease has run out."""
        try:
            collection = await self._definitions.get(name)
            await self._catalog.abandon(collection, versions, Deadline.after(ABANDON_TIMEOUT_S))
        except (ServiceError, CatalogLost) as error:
            _logger.warning("%s: %d versions are left to the sweep: %s", name, len(versions), error)

    async def _bury(self, name: str, image_ids: Sequence[str], deadline: Deadline) -> None:
        """Delete the rows that new versions replaced; the new ones live whatever becomes of this."""
        if not image_ids:
            return
        try:
            collection = await self._definitions.get(name)
            dead = await self._catalog.dead_of(collection, image_ids, deadline)
            await self._recovery.bury(collection, dead, deadline)
        except (ServiceError, CatalogLost) as error:
            _logger.warning("%s: old rows of %d pictures are left to the sweep: %s", name, len(image_ids), error)


def _first_without(waves: list[dict[str, tuple[int, Prepared]]], image_id: str) -> dict[str, tuple[int, Prepared]]:
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
