"""Milvus with users and TLS by its URL alone, and what is said where it is refused."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pymilvus import MilvusClient

from services.stores.__main__ import fault_of
from services.stores.milvus.addresses import client_options
from testbed.servers import STANDALONE_START_TIMEOUT_S, standalone_milvus
from testbed.tls import TlsFiles, tls_before, tls_files
from tests.services.stores.making import a_collection, find, new_image, opened, put, unit_embeddings

SERVER_NAME = "milvus.example"
PASSWORD = "p@ss/w0rd"  # noqa: S105 - of a server of the test's own
QUOTED = "p%40ss%2Fw0rd"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return tls_files(tmp_path_factory.mktemp("tls"), "127.0.0.1")


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, TlsFiles]]:
    """The address of a Milvus server with users and TLS, and its certificates."""
    files = tls_files(tmp_path_factory.mktemp("milvus-tls"), SERVER_NAME)
    pem = {"server_pem": files.server, "server_key": files.server_key, "ca_pem": files.authority}
    paths = [word for name, path in pem.items() for word in (f"--{name.replace('_', '-')}-path", str(path))]
    options = ("--authorization-enabled", "true", "--tls-mode", "1", *paths)

    def root(url: str) -> MilvusClient:
        uri = url.replace("http://", "https://root:Milvus@")
        return MilvusClient(uri, timeout=2, server_pem_path=str(files.authority), server_name=SERVER_NAME)

    def answers(url: str) -> None:
        client = root(url)
        try:
            client.list_collections(timeout=2)
        finally:
            client.close()

    with standalone_milvus(options, answers) as server:
        server.start(STANDALONE_START_TIMEOUT_S)
        client = root(server.url)
        client.create_user("fovea", PASSWORD)
        client.grant_role("fovea", "admin")
        client.create_user("guest", PASSWORD)
        client.close()
        yield server.url.removeprefix("http://"), files


@pytest.mark.standalone
async def test_users_and_tls_of_a_server(secured: tuple[str, TlsFiles], redis_url: str, name: str) -> None:
    """A user, and the same as a token, write and search; what is wrong with another URL is named."""
    address, files = secured
    options = f"?server_pem_path={files.authority}&server_name={SERVER_NAME}"
    url = f"https://fovea:{QUOTED}@{address}{options}"
    async with opened(url, redis_url) as store:
        embeddings = unit_embeddings(2)
        await store.create(a_collection(name))
        await put(store, name, *(new_image(f"u{n}", embeddings[n]) for n in range(2)))
        assert (await find(store, name, embeddings[1])).hits[0].record.uri == "u1"
        assert "may not do what Fovea needs" in await fault_of("milvus", f"https://guest:{QUOTED}@{address}{options}")
        await store.drop(name)
    assert await fault_of("milvus", f"https://fovea%3A{QUOTED}@{address}{options}") == ""
    for login in ("", "fovea:wrong@", "nobody:x@"):
        assert "refuses the user or the password" in await fault_of("milvus", f"https://{login}{address}{options}")
    assert "certificate is not trusted" in await fault_of("milvus", f"https://fovea:{QUOTED}@{address}")
    assert "TLS" in await fault_of("milvus", f"http://fovea:{QUOTED}@{address}")


@pytest.fixture
def port(milvus_lite_uri: str) -> int:
    return int(milvus_lite_uri.rsplit(":", 1)[1])


async def test_certificates_by_the_url_alone(port: int, files: TlsFiles) -> None:
    """The authority under either name, one of our own, and what is wrong."""
    own = f"client_pem_path={files.client}&client_key_path={files.client_key}"
    with tls_before(port, files) as tls, tls_before(port, files, wants_client=True) as mutual:
        for option in ("ca_pem_path", "server_pem_path"):
            assert await fault_of("milvus", f"https://127.0.0.1:{tls}?{option}={files.authority}") == ""
        assert "certificate is not trusted" in await fault_of("milvus", f"https://127.0.0.1:{tls}")
        assert "file" in await fault_of("milvus", f"https://127.0.0.1:{tls}?ca_pem_path=/no/such.pem")
        url = f"https://127.0.0.1:{mutual}?ca_pem_path={files.authority}"
        assert await fault_of("milvus", f"{url}&{own}") == ""
        assert await fault_of("milvus", url) != ""


async def test_a_certificate_for_another_name(port: int, tmp_path: Path) -> None:
    """The name in the URL counts, unless `server_name` says otherwise."""
    files = tls_files(tmp_path, SERVER_NAME)
    with tls_before(port, files) as tls:
        url = f"https://127.0.0.1:{tls}?ca_pem_path={files.authority}"
        assert "certificate" in await fault_of("milvus", url)
        assert await fault_of("milvus", f"{url}&server_name={SERVER_NAME}") == ""


def test_what_a_url_says() -> None:
    """Logins are decoded, a path is a database, and what is not known is refused by name."""
    options = client_options("https://user:p%40ss@host:19530/pictures_db")
    assert options == {"uri": "https://host:19530", "token": "user:p@ss", "db_name": "pictures_db"}
    assert client_options("https://key@host").get("token") == "key"
    assert client_options("http://[::1]:19530")["uri"] == "http://[::1]:19530"
    with pytest.raises(ValueError, match="colour"):
        client_options("http://host?colour=red")
