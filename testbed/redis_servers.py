"""Several Redis servers that belong together: the primaries and replicas of a Cluster, and a primary with its Sentinel."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from redis import Redis
from redis.crc import key_slot
from redis.exceptions import RedisError

from cli.embedded import redis_command
from testbed.servers import EmbeddedServer, embedded_redis, free_port

SLOTS = 16384
SENTINEL_NAME = "fovea"
# Short, so that a test need not wait long for a failover; a busy machine may stand still for this time.
FAILOVER_AFTER_MS = 3000
AGREE_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class RedisNode:
    """A server among others."""

    server: EmbeddedServer
    port: int
    client: Redis

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"127.0.0.1:{self.port}"

    def run(self, *words: str | int) -> Any:
        """The answer to a command."""
        return self.client.execute_command(*words)  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class RedisClusterServers:
    """A Redis Cluster on loopback; replica n is that of primary n."""

    primaries: Sequence[RedisNode]
    replicas: Sequence[RedisNode]

    @property
    def url(self) -> str:
        """Its URL, which names all nodes."""
        return "redis+cluster://" + ",".join(node.address for node in (*self.primaries, *self.replicas))

    def move_slot(self, slot: int, source: RedisNode, target: RedisNode) -> None:
        """Hand a slot with its keys to another primary, key by key."""
        ids = {id(node): node.run("CLUSTER MYID") for node in (source, target)}
        target.run("CLUSTER SETSLOT", slot, "IMPORTING", ids[id(source)])
        source.run("CLUSTER SETSLOT", slot, "MIGRATING", ids[id(target)])
        keys = source.run("CLUSTER GETKEYSINSLOT", slot, 1000)
        for name in keys:
            source.run("MIGRATE", "127.0.0.1", target.port, name, 0, 5000)
        for node in (target, source, *self.primaries):
            node.run("CLUSTER SETSLOT", slot, "NODE", ids[id(target)])

    def primary_of(self, name: str) -> RedisNode:
        """The primary that a key is with by the slots that were given out at first."""
        return self.primaries[key_slot(name.encode()) * len(self.primaries) // SLOTS]


@contextmanager
def redis_cluster(
    *, primaries: int = 3, replicas: int = 0, options: Sequence[str] = ()
) -> Iterator[RedisClusterServers]:
    """A Redis Cluster of our own, whose slots are all given out."""
    with ExitStack() as stack:
        nodes = [stack.enter_context(_cluster_node(options)) for _ in range(primaries + replicas)]
        first = nodes[0]
        for number, node in enumerate(nodes):
            node.run("CLUSTER SET-CONFIG-EPOCH", number + 1)
            if number < primaries:
                lowest, end = (-(-SLOTS * each // primaries) for each in (number, number + 1))
                node.run("CLUSTER ADDSLOTSRANGE", lowest, end - 1)
            if number:
                bus = int(first.run("CONFIG GET", "cluster-port")["cluster-port"])
                node.run("CLUSTER MEET", "127.0.0.1", first.port, bus)
        wait_until(lambda: all(_known(node) == len(nodes) and _is_up(node) for node in nodes))
        for number, node in enumerate(nodes[primaries:]):
            node.run("CLUSTER REPLICATE", nodes[number].run("CLUSTER MYID"))
        wait_until(
            lambda: all(node.client.info("replication")["master_link_status"] == "up" for node in nodes[primaries:])
        )
        yield RedisClusterServers(nodes[:primaries], nodes[primaries:])


@dataclass(frozen=True, slots=True)
class SentinelServers:
    """A primary, its replica, and the Sentinel that watches them."""

    primary: RedisNode
    replica: RedisNode
    sentinel: RedisNode

    @property
    def url(self) -> str:
        """The URL of the primary, whichever it is."""
        return f"redis+sentinel://{self.sentinel.address}/{SENTINEL_NAME}/0"

    def primary_port(self) -> int:
        """The port of the server that the Sentinel takes for the primary."""
        return int(self.sentinel.run("SENTINEL GET-MASTER-ADDR-BY-NAME", SENTINEL_NAME)[1])


@contextmanager
def redis_sentinel(*, through: Callable[[int], int] = int) -> Iterator[SentinelServers]:
    """A Redis with a replica and a Sentinel of our own, which knows the Redis by the port `through` that of its own."""
    with ExitStack() as stack:
        primary = stack.enter_context(redis_node())
        replica = stack.enter_context(redis_node("--replicaof", f"127.0.0.1 {primary.port}"))
        wait_until(lambda: replica.client.info("replication")["master_link_status"] == "up")
        sentinel = stack.enter_context(_sentinel_of(through(primary.port)))
        wait_until(lambda: _replicas_seen(sentinel) == 1)
        yield SentinelServers(primary, replica, sentinel)


def wait_until(holds: Callable[[], bool]) -> None:
    """Ask until it holds; what cannot be asked yet does not hold."""
    deadline = time.monotonic() + AGREE_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            if holds():
                return
        except (RedisError, KeyError):
            pass
        time.sleep(0.05)
    message = "the Redis servers did not agree in time"
    raise RuntimeError(message)


@contextmanager
def _cluster_node(options: Sequence[str]) -> Iterator[RedisNode]:
    bus = str(free_port())  # by default 10,000 ports above, which may be more than there are
    timeout = str(FAILOVER_AFTER_MS)
    cluster = ("--cluster-enabled", "yes", "--cluster-node-timeout", timeout, "--cluster-port", bus)
    with redis_node(*cluster, *options) as node:
        yield node


@contextmanager
def _sentinel_of(primary_port: int) -> Iterator[RedisNode]:
    with tempfile.TemporaryDirectory(prefix="fovea-sentinel-") as folder:
        port = free_port()
        config = Path(folder) / "sentinel.conf"  # which it writes anew
        config.write_text(
            f"port {port}\nbind 127.0.0.1\nsentinel monitor {SENTINEL_NAME} 127.0.0.1 {primary_port} 1\n"
            f"sentinel down-after-milliseconds {SENTINEL_NAME} {FAILOVER_AFTER_MS}\n"
            f"sentinel failover-timeout {SENTINEL_NAME} 10000\n"
        )
        command = redis_command(Path(folder))
        argv = (command.argv[0], str(config), "--sentinel")
        server = EmbeddedServer(replace(command, argv=argv), f"redis://127.0.0.1:{port}", _ask)
        yield from _started(server, port)


@contextmanager
def redis_node(*options: str) -> Iterator[RedisNode]:
    """A Redis with these options."""
    with tempfile.TemporaryDirectory(prefix="fovea-redis-") as folder:
        plain = embedded_redis(Path(folder))
        server = EmbeddedServer(replace(plain.command, argv=(*plain.command.argv, *options)), plain.url, _ask)
        yield from _started(server, int(plain.url.rsplit(":", 1)[1].removesuffix("/0")))


def _started(server: EmbeddedServer, port: int) -> Iterator[RedisNode]:
    server.start()
    with Redis(port=port, socket_timeout=5) as client:
        try:
            yield RedisNode(server, port, client)
        finally:
            server.kill()


def _ask(url: str) -> None:
    with Redis.from_url(url, socket_timeout=1) as client:
        client.ping()


def _known(node: RedisNode) -> int:
    return int(node.client.cluster("info")["cluster_known_nodes"])


def _is_up(node: RedisNode) -> bool:
    return bool(node.client.cluster("info")["cluster_state"] == "ok")


def _replicas_seen(sentinel: RedisNode) -> int:
    known = sentinel.run("SENTINEL MASTER", SENTINEL_NAME)
    return int(known["num-slaves"])
