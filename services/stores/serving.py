"""What is stored of a collection beside what is served: found, opened, repaired and dropped. See moves.py."""

import contextlib
import logging
import secrets
from collections.abc import Collection as Items
from dataclasses import replace

from rpc.deadline import Deadline
from rpc.errors import FailedPrecondition
from services.stores.definitions import Definitions
from services.stores.milvus.names import StoredNames, identity_of
from services.stores.milvus.store import RowStore
from services.stores.records import Collection
from services.stores.redis.catalog import RedisCatalog
from services.stores.redis.shards import CatalogLost

STEP_TIMEOUT_S = 30.0

_logger = logging.getLogger(__name__)


class Serving:
    """Decides which of the stored collections of a public name is served."""

    def __init__(self, rows: RowStore, catalog: RedisCatalog, definitions: Definitions) -> None:
        self._rows = rows
        self._catalog = catalog
        self._steps = catalog.moves()
        self._locks = catalog.locks("move")
        self._definitions = definitions

    async def stored(self, collection: Collection) -> StoredNames:
        """What Milvus keeps of a collection, whatever it is called."""
        return (await self._rows.switches.stored()).of(identity_of(collection.store_name))

    async def former(self, name: str) -> Collection:
        """The collection that was served before the last move; FailedPrecondition where it is not kept."""
        served = await self._definitions.fresh(name)
        stored = await self.stored(served)
        for number in range(stored.last_switch - 1, -1, -1):
            before = await self._rows.switches.served(replace(stored, switches=(number,)))
            if before not in ("", served.store_name):
                return await self._rows.definition(before)
        raise FailedPrecondition(f"the collection {name} has no former embeddings to return to")

    async def drop_others(self, name: str, *, but: Items[str] = ()) -> None:
        """Delete all that is stored of a collection, except what is served and what is kept."""
        served = await self._definitions.fresh(name)
        for store in (await self.stored(served)).stores:
            if store != served.store_name and store not in but:
                await self._drop(store)

    async def drop_copies(self, name: str) -> None:
        """Delete what was built with another index and is not served, or not any more; Aborted while a move goes on."""
        served = await self._definitions.fresh(name)
        if len((await self.stored(served)).stores) == 1:
            return
        async with self._locks.hold(identity_of(served.store_name)):
            served = await self._definitions.fresh(name)
            for store in (await self.stored(served)).stores:
                if store != served.store_name and (await self._rows.definition(store)).space == served.space:
                    await self._drop(store)

    async def tidy(self, name: str) -> None:
        """Open a collection that a run left sealed, and end its log; nothing where a run goes on."""
        collection = await self._definitions.fresh(name)
        with contextlib.suppress(CatalogLost):
            seals = await self._steps.tokens(collection, "seal", _soon())
            logs = await self._steps.tokens(collection, "log", _soon())
            if (seals | logs) == {""} or await self._locks.is_held(identity_of(collection.store_name), _soon()):
                return
            if seals != {""}:
                await self.reopen(name)
            for token in logs - {""}:
                await self._steps.set_token(collection, "log", "", _soon(), instead_of=token)

    async def switch(self, source: Collection, target: Collection, token: str) -> str:
        """Serve `target` instead of `source`, both sealed with `token`; the name of what is served, whoever decided."""
        stored = await self.stored(source)
        # In this order: who opens the source takes its seal first, and creates the same switch then.
        if await self._steps.tokens(source, "seal", _soon()) != {token}:
            return source.store_name
        served = await self._rows.switches.decide(stored.identity, stored.last_switch + 1, target.store_name)
        await self._open(source.name, token)
        return served

    async def reopen(self, name: str) -> None:
        """Open what is served, if a run that died left it sealed: that run may only be slow, and must not decide later."""
        token = secrets.token_hex(8)
        while True:
            served = await self._definitions.fresh(name)
            try:
                if await self._steps.tokens(served, "seal", _soon()) == {""}:
                    return
                await self._steps.set_token(served, "seal", token, _soon())
            except CatalogLost:
                return  # its seals too
            stored = await self.stored(served)
            served_now = await self._rows.switches.served(stored)
            await self._rows.switches.decide(stored.identity, stored.last_switch + 1, served_now)
            await self._open(name, token)
            _logger.warning("%s: a move that was cut off left it sealed; it is open again", name)

    async def _drop(self, store: str) -> None:
        await self._rows.drop_store(store)
        await self._catalog.drop(store, _soon())

    async def _open(self, name: str, token: str) -> None:
        """Let what is served take writes, and nothing else: Redis sends those who know another to it."""
        served = await self._definitions.fresh(name)
        for store in (await self.stored(served)).stores:
            if store != served.store_name:
                await self._catalog.drop(store, _soon())
        with contextlib.suppress(CatalogLost):
            await self._steps.set_token(served, "seal", "", _soon(), instead_of=token)


def _soon() -> Deadline:
    return Deadline.after(STEP_TIMEOUT_S)
