"""What the collections are, remembered for a moment, and the repair of a collection that Redis lost."""

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from rpc.errors import NotFound, Unavailable
from services.stores.milvus import MilvusIndex
from services.stores.records import Collection
from services.stores.recovery import Recovery
from services.stores.shards import CatalogLost

MAX_AGE_S = 1.0

_T = TypeVar("_T")


class Definitions:
    """Definitions as Milvus keeps them, at most a second old."""

    def __init__(self, index: MilvusIndex, recovery: Recovery) -> None:
        self._index = index
        self._recovery = recovery
        self._known: dict[str, tuple[Collection, float]] = {}

    async def get(self, name: str) -> Collection:
        """The definition of a collection; NotFound where there is none."""
        collection, until_s = self._known.get(name, (None, 0.0))
        if collection is not None and time.monotonic() < until_s:
            return collection
        return await self.fresh(name)

    async def fresh(self, name: str) -> Collection:
        """The definition as it is right now."""
        self.forget(name)
        return self.remember(await self._index.collection(name))

    async def check_current(self, collection: Collection) -> None:
        """NotFound where a collection was dropped, and perhaps created anew, since its definition was read."""
        if await self.fresh(collection.name) != collection:
            raise NotFound(f"there is no such collection {collection.name} any longer")

    def remember(self, collection: Collection) -> Collection:
        """Keep a definition that was just read or made."""
        self._known[collection.name] = (collection, time.monotonic() + MAX_AGE_S)
        return collection

    def forget(self, name: str) -> None:
        """Read a definition again when it is needed next."""
        self._known.pop(name, None)

    async def whole(self, name: str, call: Callable[[Collection], Awaitable[_T]]) -> _T:
        """A call on a collection that Redis holds: where it was lost, it is rebuilt first."""
        try:
            return await call(await self.get(name))
        except CatalogLost:
            # The definition may be old and the catalog right: what is rebuilt has to be the collection of now.
            collection = await self.fresh(name)
        await self._recovery.rebuild(collection)
        try:
            return await call(collection)
        except CatalogLost as error:
            await self.fresh(name)  # NotFound where it was dropped meanwhile
            raise Unavailable(f"Redis lost {name} while it was being rebuilt; try again") from error
