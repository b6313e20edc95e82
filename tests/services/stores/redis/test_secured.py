"""Redis with TLS and users, by its URL alone: one server, a cluster and a Sentinel, and what is said where it is refused."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from rpc.errors import Unavailable
from services.stores.__main__ import fault_of
from services.stores.causes import cause_of
from services.stores.records import image_id_of
from services.stores.redis.catalog import RedisCatalog
from testbed.redis_servers import redis_cluster, redis_node, redis_sentinel
from testbed.tls import TlsFiles, tls_before, tls_files
from tests.services.stores.making import a_collection, new_image, opened, put, soon, unit_embeddings
from tests.services.stores.moving import moved

SECRET = "p@ss/w:rd"  # noqa: S105 - of a server of the test's own
QUOTED = "p%40ss%2Fw%3Ard"
# What Fovea needs: its keys, scripts, and INFO.
RIGHTS = ("~fovea:*", "+@read", "+@write", "+@scripting", "+info", "+ping", "+client|setinfo", "+time")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return tls_files(tmp_path_factory.mktemp("tls"), "127.0.0.1")


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A Redis without a default user, and with one that may do what Fovea needs."""
    with redis_node() as node:
        node.run("ACL", "SETUSER", "fovea", "on", f">{SECRET}", *RIGHTS)
        node.run("ACL", "SETUSER", "reader", "on", f">{SECRET}", "~fovea:*", "+@read", "+ping", "+info")
        node.run("ACL", "SETUSER", "default", "off", "resetpass")
        yield node.port


async def test_a_user_with_few_rights_is_enough(port: int, milvus_lite_uri: str, name: str) -> None:
    """A password with special characters is written with percent signs."""
    url, embeddings = f"redis://fovea:{QUOTED}@127.0.0.1:{port}/0", unit_embeddings(2)
    assert await fault_of("redis", url) == ""
    async with opened(milvus_lite_uri, url) as store:
        await store.create(a_collection(name))
        await put(store, name, *(new_image(f"u{n}", embeddings[n]) for n in range(2)))
        await store.delete(name, [image_id_of("u1")], soon())
        await moved(store, name)
        assert (await store.counts(name)).image_count == 1
        await store.sweep(name)
        await store.drop(name)


async def test_refused_users_are_named(port: int) -> None:
    """No user, an unknown one, a wrong password, and a user who may not do enough."""
    for login in ("", "nobody:x@", "fovea:wrong@", ":wrong@"):
        assert "refuses the user or the password" in await fault_of("redis", f"redis://{login}127.0.0.1:{port}/0")
    catalog = RedisCatalog.open(f"redis://reader:{QUOTED}@127.0.0.1:{port}/0")
    with pytest.raises(Unavailable) as raised:
        await catalog.drop("c", soon())
    assert "may not do what Fovea needs" in cause_of(raised.value)
    await catalog.close()


async def test_tls_by_the_url_alone(port: int, files: TlsFiles) -> None:
    """The authority stands in the URL, and so does a certificate of our own where the server wants one."""
    user = f"fovea:{QUOTED}"
    own = f"ssl_certfile={files.client}&ssl_keyfile={files.client_key}"
    with tls_before(port, files) as tls, tls_before(port, files, wants_client=True) as mutual:
        url = f"rediss://{user}@127.0.0.1:{tls}/0"
        assert await fault_of("redis", f"{url}?ssl_ca_certs={files.authority}") == ""
        assert await fault_of("redis", f"{url}?ssl_cert_reqs=none&ssl_check_hostname=no") == ""
        assert "certificate is not trusted" in await fault_of("redis", url)
        assert "file" in await fault_of("redis", f"{url}?ssl_ca_certs=/no/such.pem")
        assert "password" in await fault_of("redis", f"rediss://127.0.0.1:{tls}/0?ssl_ca_certs={files.authority}")

        url = f"rediss://{user}@127.0.0.1:{mutual}/0?ssl_ca_certs={files.authority}"
        assert await fault_of("redis", f"{url}&{own}") == ""
        assert "certificate" in await fault_of("redis", url)
    # It waits for more of what it takes for a command.
    assert "in time" in await fault_of("redis", f"rediss://{user}@127.0.0.1:{port}/0")


async def test_a_certificate_for_another_name(port: int, tmp_path: Path) -> None:
    """The name in the URL counts."""
    files = tls_files(tmp_path, "redis.example")
    with tls_before(port, files) as tls:
        url = f"rediss://fovea:{QUOTED}@127.0.0.1:{tls}/0?ssl_ca_certs={files.authority}"
        assert "for another name" in await fault_of("redis", url)
        assert await fault_of("redis", f"{url}&ssl_check_hostname=no") == ""


async def test_a_cluster_with_tls_and_a_password(files: TlsFiles) -> None:
    """All nodes are reached with TLS and the login of the URL."""
    with ExitStack() as stack:
        cluster = stack.enter_context(redis_cluster())
        for node in cluster.primaries:
            tls = stack.enter_context(tls_before(node.port, files))
            node.client.config_set("cluster-announce-port", tls)
            node.client.config_set("masterauth", SECRET)
            node.run("ACL", "SETUSER", "fovea", "on", f">{SECRET}", *RIGHTS, "+cluster|slots", "+command")
            node.run("ACL", "SETUSER", "default", "off", "resetpass")
        authority = f"?ssl_ca_certs={files.authority}"
        url = f"rediss+cluster://fovea:{QUOTED}@127.0.0.1:{tls}"
        assert await fault_of("redis", url + authority) == ""
        assert "certificate is not trusted" in await fault_of("redis", url)
        assert "password" in await fault_of("redis", f"rediss+cluster://fovea:wrong@127.0.0.1:{tls}{authority}")


async def test_a_sentinel_with_tls_and_passwords(files: TlsFiles) -> None:
    """The Sentinels have a password of their own; the primary is reached with TLS too."""
    with ExitStack() as stack:
        servers = stack.enter_context(redis_sentinel(through=lambda port: stack.enter_context(tls_before(port, files))))
        tls = stack.enter_context(tls_before(servers.sentinel.port, files))
        servers.primary.run("ACL", "SETUSER", "fovea", "on", f">{SECRET}", *RIGHTS)
        servers.sentinel.run("ACL", "SETUSER", "watcher", "on", ">guard", "+@all")
        servers.sentinel.run("ACL", "SETUSER", "default", "off", "resetpass")
        url = f"rediss+sentinel://fovea:{QUOTED}@127.0.0.1:{tls}/fovea/0?ssl_ca_certs={files.authority}"
        assert await fault_of("redis", f"{url}&sentinel_username=watcher&sentinel_password=guard") == ""
        assert "password" in await fault_of("redis", f"{url}&sentinel_username=watcher&sentinel_password=wrong")
        assert "password" in await fault_of("redis", url)
