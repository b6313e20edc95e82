import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.bundles import tiny_detector_bundle, tiny_image_bundle, tiny_text_bundle
from tests.support.services import Stores, drop_collections, encoder_process, ingest_stub, search_stub

if TYPE_CHECKING:
    from fovea.ingest.v1.ingest_pb2_grpc import IngestServiceAsyncStub
    from fovea.search.v1.search_pb2_grpc import SearchServiceAsyncStub


@pytest.fixture(scope="session")
def stores(milvus_lite_uri: str, redis_url: str) -> Stores:
    """The stores that the whole run shares: use collections of your own."""
    return Stores(milvus_lite_uri, redis_url)


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an encoder process with the tiny bundles `tiny`, `tiny_text` and `tiny_detector`."""
    folder = tmp_path_factory.mktemp("bundles")
    bundles = (
        tiny_image_bundle(folder / "tiny"),
        tiny_text_bundle(folder / "tiny_text"),
        tiny_detector_bundle(folder / "tiny_detector"),
    )
    with encoder_process(folder / "log", *(bundle.folder for bundle in bundles)) as address:
        yield address


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The only folder that the ingest server reads from."""
    root = tmp_path / "photos"
    root.mkdir()
    return root


@pytest.fixture
async def ingest(stores: Stores, encoder: str, root: Path, tmp_path: Path) -> "AsyncIterator[IngestServiceAsyncStub]":
    """A client of a real ingest server."""
    async with ingest_stub(stores, encoder, roots=(root,), uploads=tmp_path / "uploads") as stub:
        yield stub


@pytest.fixture
async def search(stores: Stores, encoder: str) -> "AsyncIterator[SearchServiceAsyncStub]":
    """A client of a real search server."""
    async with search_stub(stores, encoder) as stub:
        yield stub


@pytest.fixture
async def name(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A collection's name that no other test uses.

    Collections whose names begin with it are dropped at the end: each that stays makes every later server slower.
    """
    name = f"test_{uuid.uuid4().hex}"
    stores: Stores | None = request.getfixturevalue("stores") if "stores" in request.fixturenames else None
    yield name
    if stores is not None:
        await drop_collections(stores, name)
