"""The store of rows in Milvus: collections, and their rows read by key, by range and by nearness."""

import contextlib
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from rpc.deadline import Deadline
from rpc.errors import AlreadyExists, NotFound
from rpc.tasks import gather
from services.stores.filters.expression import Engine
from services.stores.milvus.connection import MilvusConnection, NotLoaded
from services.stores.milvus.exact import nearest_of_all
from services.stores.milvus.indexes import METRIC, build_params, with_index
from services.stores.milvus.machine import Machine, memory_of
from services.stores.milvus.merging import MergedWrites
from services.stores.milvus.names import PREFIX, NameTable, StoredNames, identity_of
from services.stores.milvus.rows import (
    EMBEDDING,
    REGION_FIELDS,
    Neighbor,
    Row,
    RowKey,
    RowSearch,
    definition_in,
    distinct,
    listed,
    row_keys,
    schema_of,
    stored_image,
)
from services.stores.milvus.scanning import MAX_ROWS, scan
from services.stores.milvus.searching import nearest_rows
from services.stores.milvus.switches import Switches
from services.stores.records import (
    Collection,
    CollectionMode,
    Embeddings,
    ImageRecord,
    StoredImage,
    check_collection_name,
)

MERGED_ROWS = 64
MANAGE_TIMEOUT_S = 60.0

_T = TypeVar("_T")

_logger = logging.getLogger(__name__)


class RowStore:
    """Rows of embeddings in Milvus; errors are ServiceErrors, and no call outlives its deadline.

    Rows are read and written under a collection's `store_name`; its public name only finds definitions.
    """

    def __init__(self, connection: MilvusConnection) -> None:
        self._connection = connection
        self.switches = Switches(connection)
        self._client = connection.client
        # An upsert looks for the rows to replace, which takes Milvus Lite the longer the more rows there are.
        insert, upsert = self._client.insert, self._client.upsert
        self._inserts = MergedWrites(self._call, insert, again=upsert, most_items=MERGED_ROWS)
        self._upserts = MergedWrites(self._call, upsert, most_items=MERGED_ROWS)
        self._deletions = MergedWrites(self._call, self._client.delete, most_items=MAX_ROWS)
        self.engine = connection.machine.engine

    @classmethod
    async def open(cls, uri: str) -> "RowStore":
        """Connect; Unavailable when nothing answers."""
        return cls(await MilvusConnection.open(uri))

    async def close(self) -> None:
        """Close the connection."""
        await self._upserts.close()
        await self._deletions.close()
        await self._connection.close()

    async def ping(self, deadline: Deadline) -> None:
        """Ask what a search needs, and not only whether a port is open: one row of one collection, where there is one."""
        with contextlib.suppress(NotFound):  # dropped meanwhile
            stored = await self.switches.stored(deadline)
            for name in [store for each in stored for store in each.stores][:1]:
                await self.query(name, "key >= ''", ["key"], deadline, consistency="Bounded", limit=1)

    async def has_rows(self, collection: Collection, deadline: Deadline) -> bool:
        """Whether anything was ever written into a collection and is still there."""
        name = collection.store_name
        return bool(await self.query(name, "key >= ''", ["key"], deadline, consistency="Strong", limit=1))

    async def create(self, collection: Collection) -> Collection:
        """Create and load a collection with its index; AlreadyExists where the name is taken."""
        check_collection_name(collection.name)
        deadline = Deadline.after(MANAGE_TIMEOUT_S)
        chosen = await self._placed(with_index(collection, self._connection.machine))
        create, schema = self._client.create_collection, schema_of(chosen)
        await self._call(chosen.store_name, deadline, create, schema=schema, consistency_level="Bounded")
        await self._load(chosen, deadline)
        return chosen

    async def collection(self, name: str) -> Collection:
        """The definition of the collection that is served under a public name, or was; NotFound where there is none."""
        check_collection_name(name)
        stored = (await self.switches.stored()).find(name)
        if served := await self.switches.served(stored):
            return await self._public(stored, served)
        raise NotFound(f"there is no collection {name}")

    async def definition(self, name: str) -> Collection:
        """The definition of what is stored under a name; NotFound where there is none."""
        described = await self._call(name, Deadline.after(MANAGE_TIMEOUT_S), self._client.describe_collection)
        definition = definition_in(described)
        if definition is None:
            raise NotFound(f"there is no collection {name}")
        return definition

    async def collections(self) -> list[Collection]:
        """All collections that are served, by name."""

        async def found(stored: StoredNames) -> list[Collection]:
            with contextlib.suppress(NotFound):  # dropped meanwhile, or of another application
                if served := await self.switches.served(stored):
                    return [await self._public(stored, served)]
            return []

        every = await gather(*map(found, await self.switches.stored()))
        return [collection for each in every for collection in each]

    async def drop(self, stored: StoredNames) -> None:
        """Delete all that is stored of a collection."""
        served = await self.switches.served(stored)
        # What is served goes first and the switches last: a crash between two deletions brings no older rows back.
        for store in sorted(stored.stores, key=lambda store: store != served):
            await self.drop_store(store)
        await self.switches.drop(stored)

    async def drop_store(self, name: str) -> None:
        """Delete what is stored under a name."""
        with contextlib.suppress(NotFound):
            await self._call(name, Deadline.after(MANAGE_TIMEOUT_S), self._client.drop_collection)

    async def flush(self, name: str, deadline: Deadline) -> None:
        """Seal what was written, so that its index is built; Milvus Lite needs nothing."""
        if self.engine is Engine.SERVER:
            await self._call(name, deadline, self._client.flush)

    async def index_rows(self, collection: Collection, deadline: Deadline) -> None:
        """Wait until all that was written is in the index."""
        await self.flush(collection.store_name, deadline)
        await self._load(collection, deadline)  # the index is there already, and pymilvus waits until it is built

    async def machine(self, deadline: Deadline) -> Machine:
        """What stands behind Milvus's URI, with the memory that it has."""
        return replace(self._connection.machine, memory_bytes=await memory_of(self._client, deadline.left_s()))

    async def add(self, name: str, rows: Sequence[Row], deadline: Deadline) -> None:
        """Add rows under keys that were never used, and wait until every reader sees them."""
        await self._inserts.add(name, rows, deadline)
        await self._wait_until_seen(name, rows, deadline)

    async def write(self, name: str, rows: Sequence[Row], deadline: Deadline) -> None:
        """The same under keys that may have been used: writing the same rows again changes nothing."""
        await self.upsert(name, rows, deadline)
        await self._wait_until_seen(name, rows, deadline)

    async def _wait_until_seen(self, name: str, rows: Sequence[Row], deadline: Deadline) -> None:
        if self.engine is Engine.SERVER:
            # A read of this session waits for the session's writes; what it saw, every later read sees.
            await self.read(name, [rows[-1]["key"]], ["key"], deadline, consistency="Session")

    async def upsert(self, name: str, rows: Sequence[Row], deadline: Deadline) -> None:
        """Add rows for good; readers may see them a moment later."""
        await self._upserts.add(name, rows, deadline)

    async def keys_of_images(self, name: str, image_ids: Sequence[str], deadline: Deadline) -> list[RowKey]:
        """The keys of all rows of these images; MAX_ROWS where there may be more."""
        rows = await self.query(name, f"image_id in [{listed(image_ids)}]", ["key"], deadline, consistency="Strong")
        return [RowKey.parse(row["key"]) for row in rows]

    async def delete(self, name: str, keys: Sequence[str], deadline: Deadline) -> None:
        """Delete rows by key; unknown keys are not an error."""
        for start in range(0, len(keys), MAX_ROWS):
            await self._deletions.add(name, keys[start : start + MAX_ROWS], deadline)

    async def read(
        self, name: str, keys: Sequence[str], fields: Sequence[str], deadline: Deadline, *, consistency: str = "Bounded"
    ) -> list[Row]:
        """The rows with these keys that exist, in any order."""
        found: list[Row] = []
        for start in range(0, len(keys), MAX_ROWS):
            expression = f"key in [{listed(keys[start : start + MAX_ROWS])}]"
            found += await self.query(name, expression, fields, deadline, consistency=consistency)
        return distinct(found)

    async def images(self, name: str, records: Iterable[ImageRecord], deadline: Deadline) -> dict[str, StoredImage]:
        """The images with their embeddings, by image_id: those whose rows can all be read."""
        by_id = {record.image_id: record for record in records}
        keys = [key for each in by_id.values() for key in row_keys(each.image_id, each.version, each.region_count)]
        rows: dict[str, list[Row]] = defaultdict(list)
        for row in await self.read(name, keys, ["key", *REGION_FIELDS, EMBEDDING], deadline):
            rows[RowKey.parse(row["key"]).image_id].append(row)
        return {
            image_id: stored_image(by_id[image_id], found)
            for image_id, found in rows.items()
            if len(found) == by_id[image_id].region_count
        }

    async def nearest(
        self, collection: Collection, embeddings: Embeddings, search: RowSearch, deadline: Deadline
    ) -> list[list[Neighbor]]:
        """The rows nearest to each of the embeddings (Q, D), best first, with their regions where rows have them."""
        fields = list(REGION_FIELDS) if collection.mode is CollectionMode.OBJECTS else []
        if search.exact and collection.index != "FLAT":
            compared = [*fields, EMBEDDING]
            rows = scan(self.query, collection, expression=search.expression, fields=compared, deadline=deadline)
            return await nearest_of_all(rows, embeddings, search.limit)
        ask = partial(nearest_rows, self._client, PREFIX + collection.store_name, embeddings, search)
        call = partial(ask, index=collection.index, fields=fields)
        return await self._on_loaded(collection.store_name, deadline, call)

    async def query(
        self,
        name: str,
        expression: str,
        fields: Sequence[str],
        deadline: Deadline,
        *,
        consistency: str,
        limit: int = MAX_ROWS,
    ) -> list[Row]:
        """Rows as Milvus gives them: a full answer may be cut, and a row may come twice while segments are compacted."""
        rows: list[Row] = await self._call(
            name,
            deadline,
            self._client.query,
            filter=expression,
            output_fields=list(fields),
            limit=limit,
            consistency_level=consistency,
            strict_float32=EMBEDDING in fields,  # arrays instead of lists of Python's floats
        )
        return rows

    async def _load(self, collection: Collection, deadline: Deadline) -> None:
        """Index and load a collection; both are no-ops where they are done already."""
        index = self._client.prepare_index_params()
        params = build_params(collection.index, collection.dimension)
        index.add_index(EMBEDDING, index_type=collection.index, metric_type=METRIC, params=params)
        client, name = self._client, PREFIX + collection.store_name
        for step in (partial(client.create_index, name, index), partial(client.load_collection, name)):
            await self._connection.call(deadline, partial(step, retry_times=0), collection.name)

    async def _call(
        self, name: str, deadline: Deadline, method: Callable[..., Awaitable[Any]], *args: Any, **options: Any
    ) -> Any:
        """A method of the client on a collection."""
        return await self._on_loaded(name, deadline, partial(method, PREFIX + name, *args, retry_times=0, **options))

    async def _on_loaded(self, name: str, deadline: Deadline, call: Callable[[], Awaitable[_T]]) -> _T:
        """A call on a collection, which is loaded first where a restart left it unloaded."""
        try:
            return await self._connection.call(deadline, call, name)
        except NotLoaded:
            _logger.warning("%s: loading the collection, which a restart or an unfinished creation left unloaded", name)
        await self._load(await self.definition(name), deadline)
        return await self._connection.call(deadline, call, name)

    async def _public(self, stored: StoredNames, served: str) -> Collection:
        """The definition of what is served, under its public name."""
        definition, display_name = await self.definition(served), await self.switches.display_name(stored)
        stored_as = "" if served == stored.name else served
        return replace(definition, name=stored.name, stored_as=stored_as, display_name=display_name)

    async def _placed(self, collection: Collection) -> Collection:
        """A new collection with its name in the stores; AlreadyExists where it is taken. What a deletion left is deleted."""
        name = collection.name
        taken = AlreadyExists(f"the collection {name} exists; delete it or take another name")
        if collection.stored_as:  # a move builds it
            if collection.store_name in (await self.switches.stored()).of(identity_of(collection.store_name)).stores:
                raise taken
            return collection
        for find in (NameTable.owner, NameTable.of):
            stored = find(await self.switches.stored(), name)
            if stored and not await self.switches.served(stored):
                await self.drop(stored)
            elif stored and stored.name == name:
                raise taken
        # What was created under this name is called otherwise by now, and keeps its name in the stores.
        is_free = not await self.switches.served((await self.switches.stored()).of(name))
        identity = name if is_free else f"{name[:46]}_{collection.generation}"
        if not is_free or collection.display_name:
            # First, so that a crash behind it leaves nothing that is served.
            await self.switches.call(StoredNames(identity), name, collection.display_name)
        return replace(collection, stored_as="" if is_free else identity)
