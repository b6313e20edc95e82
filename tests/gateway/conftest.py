import uuid
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from testbed.servers import milvus_lite_server, redis_server
from tests.gateway.secured import Secured, secured_system
from tests.gateway.system import System, running_system


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A whole Fovea that the gateway's tests share: use collections of your own.

    Its stores are its own too: the page opens with a collection that it finds, whose images have to be in its roots.
    """
    folder = tmp_path_factory.mktemp("gateway")
    with (
        milvus_lite_server() as milvus_uri,
        redis_server() as redis_url,
        running_system(folder, milvus_uri=milvus_uri, redis_url=redis_url) as running,
    ):
        yield running


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A whole Fovea whose callers need tokens, which the tests share and do not change."""
    with secured_system(tmp_path_factory.mktemp("secured")) as running:
        yield running


@pytest.fixture
async def http(system: System) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the gateway's API."""
    async with httpx.AsyncClient(base_url=f"{system.url}/api/v1", timeout=30) as client:
        yield client


@pytest.fixture
def name(request: pytest.FixtureRequest) -> Iterator[str]:
    """A collection name that no other test uses; collections whose names begin with it are dropped at the end."""
    name = f"g_{uuid.uuid4().hex[:12]}"
    system: System | None = request.getfixturevalue("system") if "system" in request.fixturenames else None
    yield name
    if system is not None:
        with httpx.Client(base_url=f"{system.url}/api/v1", timeout=30) as client:
            for collection in client.get("/collections").json()["collections"]:
                if collection["name"].startswith(name):
                    client.delete(f"/collections/{collection['name']}").raise_for_status()


@pytest.fixture
async def photos(http: httpx.AsyncClient, name: str) -> str:
    """A new, empty collection of whole images."""
    response = await http.post("/collections", json={"name": name, "encoder": "tiny"})
    assert response.status_code == 201, response.text
    return name
