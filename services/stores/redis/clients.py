"""The client for a URL of Redis: of one server, of a Redis Cluster, or of the primary that Sentinels name.

    redis://user:password@host:6379/0                      one server; rediss:// with TLS; unix:///path of a socket
    redis+cluster://user:password@host:6379,host:6379      a Redis Cluster, by some of its nodes; rediss+cluster://
    redis+sentinel://user:password@host:26379,host/name/0  the primary that Sentinels call `name`; rediss+sentinel://

Options stand in the query, as redis-py names them: `?ssl_ca_certs=/ca.pem`.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import ConnectionPool, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import (
    AskError,
    ClusterError,
    ConnectionError,  # noqa: A004 - redis-py's, which is a RedisError
    ReadOnlyError,
    RedisClusterException,
    TimeoutError,  # noqa: A004
)

from domain.store_urls import StoreUrl, StoreUrlError

MAX_CONNECTIONS = 64  # to each server; RedisShards has no more calls under way
SOCKET_TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 1.0
SENTINEL_PORT = 26379
PORT = 6379

Words = tuple[Any, ...]
"""A command as it is sent: its name and its arguments."""

_OPTIONS = {
    *("host", "port", "path", "connection_class", "db", "username", "password", "client_name"),
    *("socket_timeout", "socket_connect_timeout", "socket_keepalive", "health_check_interval"),
    *("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"),
    *("sentinel_username", "sentinel_password"),
}
# What a server says that is gone, or that has the slot or the role no more.
MOVED = (ConnectionError, TimeoutError, ClusterError, AskError, ReadOnlyError)


class RedisClient(Protocol):
    """Sends commands; raises RedisError where none could be sent."""

    moves: bool
    """Whether another server may answer soon for one that does not."""

    async def send(self, commands: Sequence[Words]) -> list[Any]:
        """The answers in order, each an error where its command failed."""

    async def memory(self) -> list[Mapping[str, Any]]:
        """INFO memory of every server that keys are written to."""

    async def close(self) -> None:
        """Close the connections."""


class ServerClient:
    """One server, or the primary that Sentinels name."""

    def __init__(self, redis: Redis, sentinel: Sentinel | None = None) -> None:
        self.moves = sentinel is not None
        self._redis = redis
        self._sentinel = sentinel

    async def send(self, commands: Sequence[Words]) -> list[Any]:
        """The answers in order, each an error where its command failed."""
        pipeline = self._redis.pipeline(transaction=False)
        for words in commands:
            pipeline.execute_command(*words)
        return await pipeline.execute(raise_on_error=False)

    async def memory(self) -> list[Mapping[str, Any]]:
        """INFO memory of the server."""
        return [await self._redis.info("memory")]

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()
        if self._sentinel is not None:
            await self._sentinel.aclose()


class ClusterClient:
    """A Redis Cluster: each command goes to the node that has the slot of its keys, those of one node in one round trip."""

    moves = True

    def __init__(self, cluster: RedisCluster) -> None:
        self._cluster = cluster
        self._is_stale = False  # whether slots may be with other nodes by now

    async def send(self, commands: Sequence[Words]) -> list[Any]:
        """The answers in order, each an error where its command failed."""
        await self._prepare()
        pipeline = self._cluster.pipeline()
        for words in commands:
            pipeline.execute_command(*words)
        try:
            with _as_redis_errors():
                answers = await pipeline.execute(raise_on_error=False)
        except BaseException:  # a node that hangs ends in a cancellation
            self._is_stale = True
            raise
        self._is_stale |= any(isinstance(answer, MOVED) for answer in answers)
        return answers

    async def memory(self) -> list[Mapping[str, Any]]:
        """INFO memory of every primary."""
        await self._prepare()
        with _as_redis_errors():
            answers = await self._cluster.execute_command("INFO", "memory", target_nodes=RedisCluster.PRIMARIES)
        return list(answers.values())

    async def close(self) -> None:
        """Close the connections."""
        await self._cluster.aclose()

    async def _prepare(self) -> None:
        """Learn which node has which slots, at first and where that may have changed."""
        with _as_redis_errors():
            await self._cluster.initialize()
            if self._is_stale:
                await self._cluster.nodes_manager.initialize()
                self._is_stale = False


@contextmanager
def _as_redis_errors() -> Iterator[None]:
    """The errors of the client for clusters are not RedisErrors."""
    try:
        yield
    except RedisClusterException as error:
        raise ConnectionError(str(error)) from error


def open_client(url: str) -> RedisClient:
    """A client that has asked nothing yet; ValueError where the URL cannot be read."""
    parts = StoreUrl.parse(url)
    protocol, _, kind = parts.scheme.partition("+")
    match kind:
        case "cluster" if parts.addresses:
            return _open_cluster(parts, _options(parts, protocol))
        case "sentinel" if parts.addresses:
            return _open_sentinel(parts, _options(parts, protocol))
        case "" if len(parts.addresses) < 2:
            pool = ConnectionPool(**_checked(parse_url(url)), retry=Retry(NoBackoff(), 1))
            return ServerClient(Redis.from_pool(pool))
    raise StoreUrlError(
        "the Redis URL cannot be read: write redis:// with one host, or redis+cluster:// or redis+sentinel:// with some"
    )


def _open_cluster(url: StoreUrl, options: dict[str, Any]) -> ClusterClient:
    if url.path.strip("/0"):
        raise StoreUrlError("the Redis URL names a database, and a cluster has only one: leave it out")
    nodes = [ClusterNode(host, port or PORT) for host, port in url.addresses]
    cluster = RedisCluster(
        startup_nodes=nodes,
        # Names of the URL outlive the addresses that they stand for.
        dynamic_startup_nodes=False,
        # What fails is sent again by RedisShards; the client's own way closes the connections of all callers.
        retry=Retry(NoBackoff(), 0),
        reinitialize_steps=0,
        max_connections=MAX_CONNECTIONS,
        **options,
    )
    return ClusterClient(cluster)


def _open_sentinel(url: StoreUrl, options: dict[str, Any]) -> ServerClient:
    name, _, number = url.path.strip("/").partition("/")
    if not name or not (number or "0").isdecimal():
        raise StoreUrlError(
            "the Redis URL cannot be read: it lacks the name by which Sentinels know the primary, redis+sentinel://HOST/NAME"
        )
    login = {key: options.pop(f"sentinel_{key}", None) for key in ("username", "password")}
    shared = {key: value for key, value in options.items() if key.startswith(("ssl", "socket_"))}
    addresses = [(host, port or SENTINEL_PORT) for host, port in url.addresses]
    retry = Retry(NoBackoff(), 1)
    sentinel = Sentinel(addresses, sentinel_kwargs={**shared, **login, "retry": retry})  # type: ignore[no-untyped-call]
    redis = sentinel.master_for(name, db=int(number or 0), retry=retry, **options)
    return ServerClient(redis, sentinel)


def _options(url: StoreUrl, protocol: str) -> dict[str, Any]:
    """The options of a URL of several hosts, for clients that take `ssl` in the place of a class of connections."""
    login = f"{url.login}@" if url.login else ""
    options = _checked(parse_url(f"{protocol}://{login}host?{url.query}"))
    for name in ("host", "connection_class"):
        options.pop(name, None)
    return options | ({"ssl": True} if protocol == "rediss" else {})


def _checked(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a URL with our timeouts; ValueError for what redis-py would refuse only when it connects."""
    if unknown := options.keys() - _OPTIONS:
        raise StoreUrlError(f"the Redis URL cannot be read: it has the unknown option {min(unknown)}")
    return {"socket_timeout": SOCKET_TIMEOUT_S, "socket_connect_timeout": CONNECT_TIMEOUT_S, **options}
