"""A store that does not answer is named with its true cause, once, and without secrets."""

import asyncio
import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from cli.embedded import EmbeddedCommand, redis_command
from rpc.deadline import Deadline
from rpc.errors import ServiceError, Unavailable
from services.stores.__main__ import fault_of
from services.stores.causes import StoreLog, cause_of
from services.stores.milvus.connection import MilvusConnection
from services.stores.redis.shards import RedisShards
from testbed.servers import EmbeddedServer, free_port

SECRET = "s3cret"  # noqa: S105 - of a server of the test's own


def redis_with(folder: Path, *options: str) -> Iterator[str]:
    """The host and port of a Redis with these options."""
    port = free_port()
    command = redis_command(folder)
    argv = (*command.argv, "--bind", "127.0.0.1", "--port", str(port), *options)
    server = EmbeddedServer(EmbeddedCommand(argv, command.environment, command.folder), f"127.0.0.1:{port}", connects)
    server.start()
    yield server.url
    server.kill()


def connects(address: str) -> None:
    host, port = address.split(":")
    socket.create_connection((host, int(port)), timeout=1).close()


@pytest.fixture
def guarded_redis(tmp_path: Path) -> Iterator[str]:
    """A Redis that wants a password."""
    yield from redis_with(tmp_path, "--requirepass", SECRET)


@pytest.fixture
def cluster_redis(tmp_path: Path) -> Iterator[str]:
    """A node of a Redis Cluster that has none of the keys."""
    nodes = str(tmp_path / "nodes.conf")
    # By default the bus listens 10,000 ports above, which may be more than there are.
    bus = ("--cluster-port", str(free_port()))
    yield from redis_with(tmp_path, "--cluster-enabled", "yes", "--cluster-config-file", nodes, *bus)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


async def redis_error(url: str, *, within_s: float = 10) -> ServiceError:
    """What a call to this Redis raises."""
    shards = RedisShards.open(url)
    try:
        with pytest.raises(ServiceError) as raised:
            await shards.run([("HGET", "fovea:{a:0}:live", "x")], Deadline.after(within_s))
    finally:
        await shards.close()
    return raised.value


async def milvus_error(uri: str) -> ServiceError:
    """What opening this Milvus raises."""
    with pytest.raises(ServiceError) as raised:
        await MilvusConnection.open(uri)
    return raised.value


async def test_redis_that_wants_a_password(guarded_redis: str, caplog: pytest.LogCaptureFixture) -> None:
    """No password and a wrong one are named as such, in the log and not to the caller; a secret is in neither."""
    for user in ("", ":not-it@", "somebody:not-it@"):
        caplog.clear()
        error = await redis_error(f"redis://{user}{guarded_redis}/0")
        assert "password" in cause_of(error)
        assert "password" not in error.message
        [line] = caplog.records
        assert "it refuses the user or the password" in line.getMessage()
        assert line.exc_info is None
        assert "not-it" not in caplog.text
    shards = RedisShards.open(f"redis://:{SECRET}@{guarded_redis}/0")
    assert await shards.run([("HGET", "a", "b")], Deadline.after(10)) == [None]
    await shards.close()


async def test_redis_in_cluster_mode(cluster_redis: str) -> None:
    """A node that sends its callers to others is named as one of a cluster, before and after it has a share of the keys."""
    assert "cluster mode" in cause_of(await redis_error(f"redis://{cluster_redis}/0"))
    host, port = cluster_redis.split(":")
    with Redis(host, int(port), socket_timeout=5) as node:
        node.execute_command("CLUSTER", "ADDSLOTS", 0)
    assert "cluster mode" in cause_of(await redis_error(f"redis://{cluster_redis}/0"))
    assert "cluster mode" in await fault_of("redis", f"redis://{cluster_redis}/0")


async def test_addresses_where_there_is_no_redis(
    milvus_lite_uri: str, silent_port: int, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing, silence, another server, an unknown name and a missing database are distinguished."""
    milvus = milvus_lite_uri.removeprefix("http://")
    for url, words in {
        f"redis://:{SECRET}@127.0.0.1:{free_port()}/0": "connection is refused",
        f"redis://:{SECRET}@127.0.0.1:{silent_port}/0": "does not answer in time",
        f"redis://{milvus}/0": "something else answers",
        f"redis://:{SECRET}@no-such-host.invalid:1/0": "host name is unknown",
        f"{redis_url.removesuffix('/0')}/999": "database",
    }.items():
        assert words in cause_of(await redis_error(url, within_s=2)), url
    assert SECRET not in caplog.text
    with pytest.raises(Unavailable) as raised:
        RedisShards.open(f"postgres://:{SECRET}@127.0.0.1/0")
    assert "URL cannot be read" in cause_of(raised.value)


async def test_addresses_where_there_is_no_milvus(
    milvus_lite_uri: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing, another server, an unknown name, TLS where there is none and a proxy in between are distinguished."""
    for uri, words in {
        f"http://127.0.0.1:{free_port()}": "connection is refused",
        redis_url.replace("redis", "http").removesuffix("/0"): "something else answers",
        "http://no-such-host.invalid:1": "host name is unknown",
        milvus_lite_uri.replace("http", "https"): "TLS handshake failed",
        "garbage://x": "URL cannot be read",
    }.items():
        assert words in cause_of(await milvus_error(uri)), uri

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    proxy = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}")
        monkeypatch.delenv("no_proxy", raising=False)
        assert "HTTP proxy" in cause_of(await milvus_error("http://milvus.example:19530"))


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate", "certificate"),
        ("Tls handshake failed: SSL_ERROR_SSL: CERTIFICATE_VERIFY_FAILED: self signed certificate", "certificate"),
        ("auth check failure, please check username and password are correct", "password"),
        ("MISCONF Redis is configured to save RDB snapshots, but it is currently unable to persist", "disk"),
        ("No index found in field [embedding]: index not found", "No index found"),
        ("redis://user:s3cret@host is odd", "redis://…@host is odd"),
    ],
)
def test_what_the_clients_say(said: str, words: str) -> None:
    """Causes that need a server of their own kind, and one that is unknown, which is quoted."""
    error = Unavailable("away")
    error.__cause__ = OSError(said)
    assert words in cause_of(error)
    assert SECRET not in cause_of(error)


def test_an_error_that_is_its_own_cause() -> None:
    """An error that was raised from itself, as pymilvus does, is read once."""
    error = OSError("Connection refused")
    error.__cause__ = error
    assert "refused" in cause_of(error)


def test_one_line_for_one_cause(caplog: pytest.LogCaptureFixture) -> None:
    """However many calls fail, a cause is said once, another one is said, and so is the end of it."""
    caplog.set_level(logging.INFO)
    log = StoreLog("Redis")
    log.answered()
    for error in (*[ConnectionRefusedError("refused")] * 50, *[TimeoutError("timed out")] * 50):
        log.failed(error)
    log.answered()
    log.answered()
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING", "INFO"]
    assert "refused" in caplog.messages[0]
    assert "in time" in caplog.messages[1]
    assert caplog.messages[2] == "Redis answers again"
