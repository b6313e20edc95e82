"""Switches: which of the collections that Milvus keeps for a public name is served, see names.py."""

import contextlib
import secrets
from functools import partial

import orjson
from pymilvus import CollectionSchema, DataType, FieldSchema

from rpc.deadline import Deadline
from rpc.errors import AlreadyExists, NotFound
from services.stores.milvus.connection import MilvusConnection
from services.stores.milvus.names import PREFIX, StoredNames, by_public_name, switch_name

TIMEOUT_S = 60.0


class Switches:
    """Reads, creates and drops switches; collections and switches go by their names without the prefix."""

    def __init__(self, connection: MilvusConnection) -> None:
        self._connection = connection

    async def stored(self, deadline: Deadline | None = None) -> dict[str, StoredNames]:
        """What Milvus keeps, by public name."""
        deadline = deadline or Deadline.after(TIMEOUT_S)
        listing = partial(self._connection.client.list_collections, retry_times=0)
        names = await self._connection.call(deadline, listing)
        return by_public_name(each.removeprefix(PREFIX) for each in names if each.startswith(PREFIX))

    async def served(self, name: str, stored: StoredNames) -> str:
        """The name of the collection that is served; empty where there is none, or only what a deletion left."""
        served = name if not stored.last_switch else await self._target(name, stored.last_switch)
        return served if served in stored.stores else ""

    async def remains(self) -> list[str]:
        """The public names under which something is stored and nothing is served, as a deletion that crashed leaves it."""
        return [name for name, stored in (await self.stored()).items() if not await self.served(name, stored)]

    async def decide(self, name: str, number: int, target: str) -> str:
        """Create the switch with this number; what it serves, which another process may have decided before."""
        description = orjson.dumps({"serves": target, "token": secrets.token_hex(8)}).decode()
        fields = [
            FieldSchema("key", DataType.VARCHAR, is_primary=True, max_length=8),
            FieldSchema("nothing", DataType.FLOAT_VECTOR, dim=2),
        ]
        schema = CollectionSchema(fields, description=description)
        create = self._connection.client.create_collection
        call = partial(create, PREFIX + switch_name(name, number), schema=schema, retry_times=0)
        with contextlib.suppress(AlreadyExists):
            await self._connection.call(Deadline.after(TIMEOUT_S), call, name)
        return await self._target(name, number)

    async def drop(self, name: str, numbers: tuple[int, ...]) -> None:
        """Delete switches."""
        for number in numbers:
            call = partial(self._connection.client.drop_collection, PREFIX + switch_name(name, number), retry_times=0)
            with contextlib.suppress(NotFound):
                await self._connection.call(Deadline.after(TIMEOUT_S), call, name)

    async def _target(self, name: str, number: int) -> str:
        describe = self._connection.client.describe_collection
        call = partial(describe, PREFIX + switch_name(name, number), retry_times=0)
        described = await self._connection.call(Deadline.after(TIMEOUT_S), call, name)
        return str(orjson.loads(described["description"])["serves"])
