"""The connection to Milvus: every call ends with its deadline, and its errors are translated here and nowhere else."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import grpc
from pymilvus import AsyncMilvusClient
from pymilvus.exceptions import DataNotMatchException, MilvusException, ParamError

from rpc.deadline import Deadline
from rpc.errors import AlreadyExists, DeadlineExceeded, Internal, NotFound, ServiceError, Unavailable
from services.stores.causes import StoreLog
from services.stores.filters.expression import Engine
from services.stores.milvus.addresses import client_options
from services.stores.milvus.machine import Machine, machine_of
from services.stores.tracing import milvus_span

CONNECT_TIMEOUT_S = 10.0
RECONNECT_S = 0.05
# Milvus Lite works off one call after the other, a server many at once. What more a process has to ask waits in the
# process, so that a search of another one waits for these few and not for all that an ingest has to write.
CALLS_AT_ONCE = {Engine.LITE: 1, Engine.SERVER: 64}

_NO_SUCH_COLLECTION = 100
_NO_INDEX = 700
_INVALID = 1100
_DUPLICATE = "create duplicate collection"  # each engine has a code of its own for it
# The last is said of a query that runs while its collection is dropped, or moved to another node.
_NOT_LOADED = ("not loaded", "not been loaded", "unloaded", "delegator closed")
_CHANNEL_OPTIONS: dict[str, object] = {
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 1000,
    # pymilvus would ping an idle connection every ten seconds, and Milvus Lite ends it for that.
    "grpc.keepalive_permit_without_calls": False,
}
LATE = "Milvus did not answer in time; allow more time, or check the Milvus server"
_AWAY = "Milvus cannot be reached or cannot answer now; try again when it is up"

_T = TypeVar("_T")


class NotLoaded(Unavailable):
    """The collection is there, and has to be loaded: after a restart of Milvus, or because its creation is not finished."""


class Disconnected(Unavailable):
    """The connection was cut, as by a restart of Milvus."""


class MilvusConnection:
    """A client of Milvus, and what runs at the other end."""

    def __init__(self, client: AsyncMilvusClient, machine: Machine) -> None:
        self.client = client
        self.machine = machine
        self._permits = asyncio.Semaphore(CALLS_AT_ONCE[machine.engine])
        self._log = StoreLog("Milvus")

    @classmethod
    async def open(cls, uri: str) -> "MilvusConnection":
        """Connect and find out what runs there; Unavailable when nothing answers."""
        # What goes wrong is raised to us and logged once, by the server's interceptor.
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
        try:
            options = client_options(uri)
            client = AsyncMilvusClient(
                **options, dedicated=True, timeout=CONNECT_TIMEOUT_S, grpc_options=_CHANNEL_OPTIONS
            )
        except (ValueError, OSError, MilvusException) as error:
            raise Unavailable(_AWAY) from error
        try:
            machine = await _attempt(Deadline.after(CONNECT_TIMEOUT_S), partial(machine_of, client))
        except BaseException:
            await client.close()
            raise
        # pymilvus would make callers queue for a reconnect of its own; the channel reconnects by itself.
        client._handler._on_rpc_error = _leave_to_the_channel  # noqa: SLF001 - there is no public switch
        return cls(client, machine)

    async def close(self) -> None:
        """Close the connection."""
        await self.client.close()

    async def call(self, deadline: Deadline, call: Callable[[], Awaitable[_T]], collection: str = "") -> _T:
        """One call, repeated once where a restart of Milvus cut the connection: every call of ours may be repeated."""
        permitted = partial(self._permitted, call, collection)
        try:
            try:
                answer = await _attempt(deadline, permitted, collection)
            except Disconnected:
                await asyncio.sleep(min(RECONNECT_S, deadline.left_s()))
                answer = await _attempt(deadline, permitted, collection)
        except (Unavailable, DeadlineExceeded) as error:
            if not isinstance(error, NotLoaded):
                self._log.failed(error)
            raise
        self._log.answered()
        return answer

    async def _permitted(self, call: Callable[[], Awaitable[_T]], collection: str) -> _T:
        async with self._permits:
            with milvus_span(call, collection):
                return await call()


async def _attempt(deadline: Deadline, call: Callable[[], Awaitable[_T]], collection: str = "") -> _T:
    """A call that ends with the deadline: pymilvus's own `timeout` would make it retry until then."""
    try:
        async with asyncio.timeout(deadline.left_s()):
            return await call()
    except TimeoutError as error:
        raise DeadlineExceeded(LATE) from error
    except (grpc.RpcError, MilvusException) as error:
        raise _translated(error, collection) from error


async def _leave_to_the_channel(_error: Exception) -> bool:
    return False


def _translated(error: Exception, collection: str) -> ServiceError:
    """The error to raise for one of pymilvus; its details stay in the log, as the cause."""
    # pymilvus puts a gRPC status or a code of Milvus into `code`.
    code = error.code() if isinstance(error, grpc.RpcError) else getattr(error, "code", None)
    if code == _NO_SUCH_COLLECTION:
        return NotFound(f"there is no collection {collection}")
    if _DUPLICATE in str(error):
        return AlreadyExists(f"another caller is creating the collection {collection}; take another name")
    if code == _NO_INDEX or any(words in str(error) for words in _NOT_LOADED):
        return NotLoaded(_AWAY)
    if code == _INVALID or isinstance(error, ParamError | DataNotMatchException):
        return Internal("Milvus refused a request of ours as invalid")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded(LATE)
    return Disconnected(_AWAY) if code is grpc.StatusCode.UNAVAILABLE else Unavailable(_AWAY)
