import pytest

from services.stores.filters.expression import Engine
from services.stores.milvus.connection import MilvusConnection
from services.stores.milvus.machine import ANY_VERSION, memory_of, version_of

GIB = 1 << 30


@pytest.mark.standalone
async def test_a_server_tells_its_version_and_memory(milvus_standalone_uri: str) -> None:
    """The wheel's server is of a known version, and has some of this machine's memory."""
    connection = await MilvusConnection.open(milvus_standalone_uri)
    try:
        assert connection.machine.engine is Engine.SERVER
        assert connection.machine.version >= (2, 3)
        assert await memory_of(connection.client, 10) > GIB
    finally:
        await connection.close()


async def test_milvus_lite_tells_neither(milvus_lite_uri: str) -> None:
    """Without a version, and with a memory that is not known."""
    connection = await MilvusConnection.open(milvus_lite_uri)
    try:
        assert connection.machine.engine is Engine.LITE
        assert await memory_of(connection.client, 10) == 0
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("text", "version"),
    [("v2.3.5", (2, 3, 5)), ("2.6.0-rc1", (2, 6, 0)), ("v2.5.4-gpu", (2, 5, 4)), ("master", ANY_VERSION)],
)
def test_versions_are_read(text: str, version: tuple[int, ...]) -> None:
    """With or without what follows the numbers."""
    assert version_of(text) == version
