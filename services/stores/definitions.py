"""The definitions of collections: created and dropped in both stores, cached for a second, rebuilt where Redis lost one."""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Concatenate, ParamSpec, TypeVar

from rpc.deadline import Deadline
from rpc.errors import AlreadyExists, NotFound, ServiceError, Unavailable
from services.stores.milvus.names import StoredNames, identity_of
from services.stores.milvus.store import RowStore
from services.stores.records import Collection, SpaceChanged, check_collection_name
from services.stores.recovery import Recovery
from services.stores.redis.catalog import RedisCatalog
from services.stores.redis.shards import CatalogLost

MAX_AGE_S = 1.0
TIMEOUT_S = 10.0
LOCK_WAIT_S = 60.0  # a collection is created or dropped in seconds

_P = ParamSpec("_P")
_T = TypeVar("_T")

_logger = logging.getLogger(__name__)


class Superseded(Exception):
    """A name stands for another collection by now: one that was created anew, or in another space."""


class Definitions:
    """Definitions as Milvus keeps them, at most a second old."""

    def __init__(self, rows: RowStore, catalog: RedisCatalog, recovery: Recovery) -> None:
        self._rows = rows
        self._catalog = catalog
        self._recovery = recovery
        # Who creates or drops under a name holds its lock, so that none drops what another has just created.
        self._locks = catalog.locks("name")
        self._known: dict[str, tuple[Collection, float]] = {}
        self._reads: dict[str, asyncio.Task[Collection]] = {}

    async def get(self, name: str) -> Collection:
        """The definition of a collection; NotFound where there is none."""
        collection, until_s = self._known.get(name, (None, 0.0))
        if collection is not None and time.monotonic() < until_s:
            return collection
        # One read for all who ask in the moment in which it has become too old.
        read = self._reads.get(name)
        if read is None:
            read = self._reads[name] = asyncio.create_task(self.fresh(name), name=f"definition of {name}")
            read.add_done_callback(lambda read: self._was_read(name, read))
        return await asyncio.shield(read)

    async def fresh(self, name: str) -> Collection:
        """The definition as it is right now."""
        self._known.pop(name, None)
        return self._remember(name, await self._rows.collection(name))

    async def with_rebuild(
        self, name: str, call: Callable[Concatenate[Collection, _P], Awaitable[_T]], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Await `call(collection, *args, **kwargs)`; where Redis lost the collection, rebuild it and call once more."""
        try:
            return await call(await self.get(name), *args, **kwargs)
        except CatalogLost:
            # The cached definition may be old and the catalog right: what is rebuilt is the collection of now.
            collection = await self.fresh(name)
        try:
            return await self.on(collection, call, *args, **kwargs)
        except Superseded as error:
            raise Unavailable(f"the collection {name} changes just now; try again") from error

    async def on(
        self,
        collection: Collection,
        call: Callable[Concatenate[Collection, _P], Awaitable[_T]],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T:
        """The same on just this collection; Superseded where its name stands for another."""
        try:
            return await call(collection, *args, **kwargs)
        except CatalogLost:
            await self.require_current(collection)
        await self._recovery.rebuild(collection)
        try:
            return await call(collection, *args, **kwargs)
        except CatalogLost as error:
            await self.require_current(collection)
            raise Unavailable(f"Redis lost {collection.name} while it was being rebuilt; try again") from error

    async def require_current(self, collection: Collection) -> None:
        """Superseded where the name of a collection stands for another, NotFound where it stands for none."""
        if (await self.fresh(collection.name)).generation != collection.generation:
            raise Superseded

    async def create(self, collection: Collection) -> Collection:
        """Create a collection, and return it with its index; AlreadyExists where the name is taken."""
        check_collection_name(collection.name)
        await self._catalog.ping(Deadline.after(TIMEOUT_S))
        async with self._locks.hold(collection.name, wait_s=LOCK_WAIT_S), self._new_meaning(collection.name):
            return await self._create(replace(collection, generation=secrets.token_hex(8)))

    async def update(self, name: str, *, new_name: str, display_name: str | None) -> Collection:
        """Change what a collection is called; what is empty or None stays. AlreadyExists where the name is taken.

        Its former names find it as long as no other collection has them.
        """
        switches, new_name = self._rows.switches, new_name or (await self.fresh(name)).name
        check_collection_name(new_name)
        async with self._locks.hold(new_name, wait_s=LOCK_WAIT_S):
            table, before = await switches.stored(), await self.fresh(name)
            owner = table.owner(new_name)
            stored = table.of(identity_of(before.store_name))
            if owner and owner.identity != stored.identity:
                raise AlreadyExists(f"the collection {new_name} exists; delete it or take another name")
            seen = before.display_name if display_name is None else display_name
            if (new_name, seen) != (before.name, before.display_name):
                async with self._new_meaning(new_name, of=stored.identity):
                    await switches.call(stored, new_name, seen)
            self._known.clear()
        return await self.fresh(new_name)

    @asynccontextmanager
    async def _new_meaning(self, name: str, of: str = "") -> AsyncIterator[None]:
        """A block that gives a name to a collection, and does not end before all processes know it."""
        table = await self._rows.switches.stored()
        yield
        if any(each.was_called(name) and each.identity != of for each in table):
            await asyncio.sleep(2 * MAX_AGE_S)

    async def drop(self, name: str) -> None:
        """Delete a collection with everything in it; NotFound where there is none, also where another name is its own now."""
        collection = await self.fresh(name)
        if collection.name != name:
            raise NotFound(f"there is no collection {name}; what had this name is called {collection.name} now")
        async with self._locks.hold(name, wait_s=LOCK_WAIT_S):
            if owner := (await self._rows.switches.stored()).owner(name):  # not who had the name before
                await self._drop(owner)

    async def drop_remains(self) -> None:
        """Finish the deletions that a crash cut off: what is served goes first, so that what is left is not."""
        for found in await self._rows.switches.remains():
            async with AsyncExitStack() as locks:
                for name in sorted({found.identity, found.name}):
                    await locks.enter_async_context(self._locks.hold(name, wait_s=LOCK_WAIT_S))
                stored = (await self._rows.switches.stored()).of(found.identity)
                if not await self._rows.switches.served(stored):  # still, now that nobody creates it
                    _logger.warning("%s: its deletion was cut off; what it left is deleted", found.identity)
                    await self._drop(stored)

    async def _drop(self, stored: StoredNames) -> None:
        # Milvus first: what Redis alone knows is not a collection, what Milvus alone knows would be rebuilt.
        await self._rows.drop(stored)
        self._known.clear()
        for each in stored.stores:
            await self._catalog.drop(each, Deadline.after(TIMEOUT_S))

    async def _create(self, requested: Collection) -> Collection:
        deadline = Deadline.after(TIMEOUT_S)
        try:
            created = await self._rows.create(requested)
            await self._recovery.start(created, deadline)
        except AlreadyExists:
            return self._remember(requested.name, await self._complete(requested, deadline))
        except BaseException:
            # Shielded, because it has to run also where the caller left; after a crash the next attempt completes it.
            await asyncio.shield(asyncio.create_task(self._undo(requested)))
            raise
        return self._remember(requested.name, created)

    def _was_read(self, name: str, read: "asyncio.Task[Collection]") -> None:
        del self._reads[name]
        if not read.cancelled():
            read.exception()  # asyncio logs an error that is never read; it is raised to those who wait

    def _remember(self, name: str, collection: Collection) -> Collection:
        self._known[name] = (collection, time.monotonic() + MAX_AGE_S)
        return collection

    async def _complete(self, requested: Collection, deadline: Deadline) -> Collection:
        """Finish an attempt that crashed between the stores; AlreadyExists where it is another collection, or has rows."""
        found = await self._rows.collection(requested.name)
        # An earlier release left a collection whose index is not chosen by size; the request is the same.
        same = replace(requested, index=requested.index or found.index, generation="", create_time_s=0.0)
        if replace(found, generation="", create_time_s=0.0, index_by_size=False) == same:
            try:
                await self._catalog.counts(found, deadline)
            except CatalogLost:
                if not await self._rows.has_rows(found, deadline):
                    await self._recovery.start(found, deadline)
                    return found
        raise AlreadyExists(f"the collection {requested.name} exists; delete it or take another name")

    async def _undo(self, requested: Collection) -> None:
        """Remove what a failed attempt made, and not what another caller made under the same name."""
        try:
            found = await self._rows.collection(requested.name)
            if found.generation == requested.generation:
                await self._drop((await self._rows.switches.stored()).of(identity_of(found.store_name)))
        except NotFound:
            pass
        except ServiceError as error:
            _logger.warning("%s: it was not created, and what is left of it stays: %s", requested.name, error)


def check_space(collection: Collection, space: str) -> None:
    """SpaceChanged where a collection is not, or no longer, of a space; any will do where none is named."""
    if space and collection.space != space:
        raise SpaceChanged(
            f"the collection {collection.name} is of the space {collection.space}, the embeddings of {space}"
        )
