"""The only module that talks to Milvus: collections, rows, nearest rows."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, TypeVar

import grpc
import orjson
from pymilvus import AsyncMilvusClient
from pymilvus.exceptions import DataNotMatchException, MilvusException, ParamError

from rpc.deadline import Deadline
from rpc.errors import AlreadyExists, DeadlineExceeded, Internal, NotFound, ServiceError, Unavailable
from services.stores.expression import Engine
from services.stores.indexes import METRIC, build_params, chosen_index, search_params
from services.stores.records import Collection, CollectionMode, Embeddings, check_collection_name
from services.stores.rows import EMBEDDING, schema_of

MAX_ROWS = 16_384  # what one search or query of Milvus may return
CONNECT_TIMEOUT_S = 10.0
RECONNECT_S = 0.05
MANAGE_TIMEOUT_S = 60.0
BATCH_BYTES = 8 << 20

_PREFIX = "fovea_"
_HEX = "0123456789abcdef"
_NO_SUCH_COLLECTION = 100
_NOT_LOADED = ("not loaded", "not been loaded", "unloaded")
_INVALID = 1100
_CHANNEL_OPTIONS = {"grpc.initial_reconnect_backoff_ms": 100, "grpc.max_reconnect_backoff_ms": 1000}

_logger = logging.getLogger(__name__)

Row = dict[str, Any]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Neighbor:
    """A row near a query: its key, the cosine, and the fields that were asked for."""

    key: str
    score: float
    fields: Row


class MilvusIndex:
    """Rows of embeddings in Milvus; errors are ServiceErrors, and no call outlives its deadline."""

    def __init__(self, client: AsyncMilvusClient, engine: Engine) -> None:
        self._client = client
        self.engine = engine

    @classmethod
    async def open(cls, uri: str) -> "MilvusIndex":
        """Connect and find out what runs there; Unavailable when nothing answers."""
        # What goes wrong is raised to us and logged once, by the server's interceptor.
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
        client = AsyncMilvusClient(uri, dedicated=True, timeout=CONNECT_TIMEOUT_S, grpc_options=_CHANNEL_OPTIONS)
        try:
            engine = await _within(Deadline.after(CONNECT_TIMEOUT_S), lambda: _engine_of(client))
        except (grpc.RpcError, MilvusException) as error:
            await client.close()
            raise _translated(error, None) from error
        except BaseException:
            await client.close()
            raise
        # pymilvus would make callers queue for a reconnect of its own; the channel reconnects by itself.
        client._handler._on_rpc_error = _leave_to_the_channel  # noqa: SLF001 - there is no public switch
        return cls(client, engine)

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()

    async def ping(self, deadline: Deadline) -> None:
        """Ask something that only a working server answers."""
        await self._call(deadline, lambda: self._client.list_collections(retry_times=0))

    async def create(self, collection: Collection) -> Collection:
        """Create and load a collection with its index; AlreadyExists where the name is taken."""
        check_collection_name(collection.name)
        index = chosen_index(collection.index, self.engine)
        chosen = replace(collection, index=index)
        deadline = Deadline.after(MANAGE_TIMEOUT_S)
        if await self._call(deadline, lambda: self._client.has_collection(_milvus_name(chosen.name), retry_times=0)):
            raise AlreadyExists(f"the collection {chosen.name} exists; delete it or take another name")
        schema = schema_of(chosen.dimension, orjson.dumps(asdict(chosen)).decode())
        await self._call(
            deadline,
            lambda: self._client.create_collection(
                _milvus_name(chosen.name), schema=schema, consistency_level="Bounded", retry_times=0
            ),
        )
        await self._load(chosen, deadline)
        return chosen

    async def collection(self, name: str) -> Collection:
        """The definition of a collection; NotFound where there is none."""
        check_collection_name(name)
        deadline = Deadline.after(MANAGE_TIMEOUT_S)
        described = await self._call(
            deadline, lambda: self._client.describe_collection(_milvus_name(name), retry_times=0), name
        )
        definition = _definition(described["description"])
        if definition is None:
            raise NotFound(f"there is no collection {name}")
        return definition

    async def collections(self) -> list[Collection]:
        """All collections of Fovea, by name."""
        names = await self._call(Deadline.after(MANAGE_TIMEOUT_S), lambda: self._client.list_collections(retry_times=0))
        ours = sorted(name.removeprefix(_PREFIX) for name in names if name.startswith(_PREFIX))
        found = await asyncio.gather(*(self.collection(name) for name in ours), return_exceptions=True)
        failures = [each for each in found if isinstance(each, BaseException) and not isinstance(each, NotFound)]
        if failures:
            raise failures[0]
        return [each for each in found if isinstance(each, Collection)]

    async def drop(self, name: str) -> None:
        """Delete a collection with all its rows."""
        await self._call(
            Deadline.after(MANAGE_TIMEOUT_S),
            lambda: self._client.drop_collection(_milvus_name(name), retry_times=0),
            name,
        )

    async def flush(self, name: str, deadline: Deadline) -> None:
        """Seal what was written, so that its index is built."""
        await self._call(deadline, lambda: self._client.flush(_milvus_name(name), retry_times=0), name)

    async def write(self, name: str, rows: Sequence[Row], deadline: Deadline) -> None:
        """Add rows and wait until every reader sees them; adding the same rows again changes nothing."""
        milvus_name = _milvus_name(name)
        await self._call(deadline, lambda: self._client.upsert(milvus_name, list(rows), retry_times=0), name)
        if self.engine is Engine.SERVER:
            await self.rows(name, [rows[-1]["key"]], ["key"], deadline, consistency="Session")

    async def delete(self, name: str, keys: Sequence[str], deadline: Deadline) -> None:
        """Delete rows by key; unknown keys are no error."""
        for start in range(0, len(keys), MAX_ROWS):
            batch = list(keys[start : start + MAX_ROWS])
            await self._call(deadline, partial(self._client.delete, _milvus_name(name), ids=batch, retry_times=0), name)

    async def rows(
        self,
        name: str,
        keys: Sequence[str],
        fields: Sequence[str],
        deadline: Deadline,
        *,
        consistency: str = "Bounded",
    ) -> list[Row]:
        """The rows with these keys that exist, in any order."""
        found: list[Row] = []
        for start in range(0, len(keys), MAX_ROWS):
            listed = ", ".join(f"'{key}'" for key in keys[start : start + MAX_ROWS])
            found += await self._query(name, f"key in [{listed}]", fields, deadline, consistency=consistency)
        return found

    async def nearest(
        self,
        collection: Collection,
        embeddings: Embeddings,
        *,
        limit: int,
        expression: str,
        fields: Sequence[str],
        deadline: Deadline,
    ) -> list[list[Neighbor]]:
        """The `limit` rows nearest to each of the embeddings (Q, D), best first."""
        answers = await self._call(
            deadline,
            lambda: self._client.search(
                _milvus_name(collection.name),
                data=list(embeddings),
                filter=expression,
                limit=limit,
                output_fields=list(fields),
                anns_field=EMBEDDING,
                search_params={"metric_type": METRIC, "params": search_params(collection.index, limit)},
                consistency_level="Bounded",
                retry_times=0,
            ),
            collection.name,
        )
        return [[_neighbor(hit) for hit in answer] for answer in answers]

    async def scan(
        self,
        collection: Collection,
        *,
        expression: str = "",
        fields: Sequence[str],
        deadline: Deadline,
        prefix: str = "",
        after: str = "",
        consistency: str = "Bounded",
    ) -> AsyncIterator[list[Row]]:
        """All rows of image_ids that start with `prefix` and come behind `after`, in batches ordered by image_id.

        Ranges of keys are halved into sixteenths until each fits into one query, so memory stays bounded and no image
        is spread over two batches.
        """
        limit = _batch_rows(collection.dimension) if EMBEDDING in fields else 4096
        prefixes = [prefix]
        while prefixes:
            start = prefixes.pop()
            if after and start + "g" <= after:
                continue
            lower = max(start, after + "g") if after else start
            bounds = f"(key >= '{lower}' and key < '{start}g')"
            within = f"({bounds} and {expression})" if expression else bounds
            size = MAX_ROWS if len(start) == 32 else limit
            rows = await self._query(
                collection.name, within, ["key", *fields], deadline, consistency=consistency, limit=size
            )
            if len(rows) < size or len(start) == 32:
                if rows:
                    yield sorted(rows, key=lambda row: str(row["key"]))
            else:
                prefixes += [start + digit for digit in reversed(_HEX)]

    async def _query(
        self,
        name: str,
        expression: str,
        fields: Sequence[str],
        deadline: Deadline,
        *,
        consistency: str,
        limit: int = MAX_ROWS,
    ) -> list[Row]:
        rows = await self._call(
            deadline,
            lambda: self._client.query(
                _milvus_name(name),
                filter=expression,
                output_fields=list(fields),
                limit=limit,
                consistency_level=consistency,
                retry_times=0,
            ),
            name,
        )
        return list({row["key"]: row for row in rows}.values())

    async def _load(self, collection: Collection, deadline: Deadline) -> None:
        """Index and load a collection; both are no-ops where they are done already."""
        name = _milvus_name(collection.name)
        index = self._client.prepare_index_params()
        index.add_index(
            EMBEDDING,
            index_type=collection.index,
            metric_type=METRIC,
            params=build_params(collection.index, collection.dimension),
        )
        await self._call(deadline, lambda: self._client.create_index(name, index, retry_times=0))
        await self._call(deadline, lambda: self._client.load_collection(name, retry_times=0))

    async def _call(self, deadline: Deadline, call: Callable[[], Awaitable[_T]], collection: str | None = None) -> _T:
        """One call within the deadline, tried a second time where that can help; every call of ours may be repeated."""
        try:
            return await _within(deadline, call)
        except (grpc.RpcError, MilvusException) as error:
            if not await self._mended(error, collection, deadline):
                raise _translated(error, collection) from error
        try:
            return await _within(deadline, call)
        except (grpc.RpcError, MilvusException) as error:
            raise _translated(error, collection) from error

    async def _mended(self, error: Exception, collection: str | None, deadline: Deadline) -> bool:
        """Whether the cause is gone: a connection that a restart cut, a collection that a restart left unloaded."""
        if _code(error) is grpc.StatusCode.UNAVAILABLE:
            await asyncio.sleep(min(RECONNECT_S, deadline.left_s()))
            return True
        if collection is not None and any(words in str(error) for words in _NOT_LOADED):
            _logger.warning("loading the collection %s, which a restart left unloaded", collection)
            await self._load(await self.collection(collection), deadline)
            return True
        return False


async def _within(deadline: Deadline, call: Callable[[], Awaitable[_T]]) -> _T:
    """A call that ends with the deadline: pymilvus's own `timeout` would make it retry until then."""
    try:
        async with asyncio.timeout(deadline.left_s()):
            return await call()
    except TimeoutError as error:
        raise DeadlineExceeded("Milvus did not answer in time; allow more time or look after Milvus") from error


async def _engine_of(client: AsyncMilvusClient) -> Engine:
    """Milvus Lite's C++ engine is the one that cannot tell its version."""
    try:
        await client.get_server_version(retry_times=0)
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.UNIMPLEMENTED:
            return Engine.LITE
        raise
    return Engine.SERVER


async def _leave_to_the_channel(_error: Exception) -> bool:
    return False


def _code(error: Exception) -> object:
    """The gRPC status or the Milvus code of an error; pymilvus puts either into `code`."""
    return error.code() if isinstance(error, grpc.RpcError) else getattr(error, "code", None)


def _translated(error: Exception, collection: str | None) -> ServiceError:
    """The error to raise for one of pymilvus; its details stay in the log, as the cause."""
    code = _code(error)
    if code == _NO_SUCH_COLLECTION:
        return NotFound(f"there is no collection {collection}")
    if code == _INVALID or isinstance(error, ParamError | DataNotMatchException):
        return Internal("Milvus refused a request of ours as invalid")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded("Milvus did not answer in time; allow more time or look after Milvus")
    return Unavailable("Milvus cannot be reached or cannot answer now; try again when it is up")


def _milvus_name(name: str) -> str:
    return _PREFIX + name


def _batch_rows(dimension: int) -> int:
    """How many embeddings fit into one batch."""
    return max(256, min(4096, BATCH_BYTES // (4 * dimension)))


def _definition(description: str) -> Collection | None:
    """The collection that a description defines, None for somebody else's."""
    with contextlib.suppress(orjson.JSONDecodeError, TypeError, KeyError, ValueError):
        fields = orjson.loads(description)
        return Collection(**{**fields, "mode": CollectionMode(fields["mode"])})
    return None


def _neighbor(hit: Any) -> Neighbor:
    """A hit of pymilvus; rounding may carry a cosine just beyond 1."""
    return Neighbor(hit["id"], min(1.0, max(-1.0, hit["distance"])), hit["entity"])
