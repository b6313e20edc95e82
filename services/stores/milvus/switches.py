"""Switches and labels: what is served of a collection, and what it is called, see names.py."""

import contextlib
import secrets
from functools import partial
from typing import Any

import orjson
from pymilvus import CollectionSchema, DataType, FieldSchema

from rpc.deadline import Deadline
from rpc.errors import AlreadyExists, NotFound
from services.stores.milvus.connection import MilvusConnection
from services.stores.milvus.names import PREFIX, Label, NameTable, StoredNames, label_name, switch_name

TIMEOUT_S = 60.0


class Switches:
    """Reads, creates and drops switches and labels; all go by their names without the prefix."""

    def __init__(self, connection: MilvusConnection) -> None:
        self._connection = connection

    async def stored(self, deadline: Deadline | None = None) -> NameTable:
        """What Milvus keeps."""
        deadline = deadline or Deadline.after(TIMEOUT_S)
        listing = partial(self._connection.client.list_collections, retry_times=0)
        names = await self._connection.call(deadline, listing)
        return NameTable(each.removeprefix(PREFIX) for each in names if each.startswith(PREFIX))

    async def served(self, stored: StoredNames) -> str:
        """The name of the collection that is served; empty where there is none, or only what a deletion left."""
        served = stored.identity
        if stored.last_switch:
            try:
                served = str((await self._described(switch_name(stored.identity, stored.last_switch)))["serves"])
            except NotFound:
                return ""  # a deletion ends just now
        return served if served in stored.stores else ""

    async def remains(self) -> list[StoredNames]:
        """What is stored of collections of which nothing is served, as a deletion that crashed leaves it."""
        return [stored for stored in await self.stored() if not await self.served(stored)]

    async def decide(self, identity: str, number: int, target: str) -> str:
        """Create the switch with this number; what it serves, which another process may have decided before."""
        name = switch_name(identity, number)
        await self._create(name, {"serves": target, "token": secrets.token_hex(8)})
        return str((await self._described(name))["serves"])

    async def display_name(self, stored: StoredNames) -> str:
        """The name that people see; empty where none was given."""
        if not stored.label.number:
            return ""
        return str((await self._described(label_name(stored.identity, stored.label)))["display_name"])

    async def call(self, stored: StoredNames, name: str, display_name: str) -> None:
        """Call a collection by a public name and a display name from here on."""
        label = Label(stored.label.number + 1, name)
        await self._create(label_name(stored.identity, label), {"display_name": display_name})
        # Of several with one name the last one is enough.
        await self._drop([label_name(stored.identity, each) for each in stored.labels if each.name == name])

    async def drop(self, stored: StoredNames) -> None:
        """Delete the switches and labels of a collection."""
        await self._drop([switch_name(stored.identity, number) for number in stored.switches])
        await self._drop([label_name(stored.identity, label) for label in stored.labels])

    async def _drop(self, names: list[str]) -> None:
        for name in names:
            call = partial(self._connection.client.drop_collection, PREFIX + name, retry_times=0)
            with contextlib.suppress(NotFound):
                await self._connection.call(Deadline.after(TIMEOUT_S), call, name)

    async def _create(self, name: str, description: dict[str, str]) -> None:
        """A collection without rows, that only says something; one that exists stays as it is."""
        fields = [
            FieldSchema("key", DataType.VARCHAR, is_primary=True, max_length=8),
            FieldSchema("nothing", DataType.FLOAT_VECTOR, dim=2),
        ]
        schema = CollectionSchema(fields, description=orjson.dumps(description).decode())
        create = self._connection.client.create_collection
        call = partial(create, PREFIX + name, schema=schema, retry_times=0)
        with contextlib.suppress(AlreadyExists):
            await self._connection.call(Deadline.after(TIMEOUT_S), call, name)

    async def _described(self, name: str) -> dict[str, Any]:
        describe = self._connection.client.describe_collection
        call = partial(describe, PREFIX + name, retry_times=0)
        described = await self._connection.call(Deadline.after(TIMEOUT_S), call, name)
        return dict(orjson.loads(described["description"]))
