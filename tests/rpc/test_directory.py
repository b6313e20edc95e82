"""The directory knows who serves what."""

from collections.abc import AsyncIterator

import pytest

from rpc.directory import EncoderDirectory
from rpc.errors import FailedPrecondition, NotFound, Unavailable
from rpc.server import ThreadServer


@pytest.fixture
async def directory(thread_server: ThreadServer) -> AsyncIterator[EncoderDirectory]:
    directory = EncoderDirectory([f"127.0.0.1:{thread_server.port}"])
    await directory.start()
    yield directory
    await directory.close()


async def test_finds_encoder_by_name_and_space(directory: EncoderDirectory) -> None:
    """A served bundle is found by name and by space."""
    assert (await directory.encoder("tiny")).info.dimension == 4
    assert [entry.info.name for entry in await directory.in_space("s")] == ["tiny"]


async def test_unknown_names_say_what_is_served(directory: EncoderDirectory) -> None:
    """The message helps to correct the name."""
    with pytest.raises(NotFound, match="served are: tiny"):
        await directory.encoder("other")
    with pytest.raises(NotFound, match="no detector is served"):
        await directory.detector("")


async def test_other_space_is_refused(directory: EncoderDirectory) -> None:
    """A model that changed is not mixed with old vectors."""
    with pytest.raises(FailedPrecondition, match="space"):
        await directory.checked("tiny", "older")


async def test_silent_process_is_not_taken_for_a_wrong_name() -> None:
    """While a process is away, an unknown name may be its."""
    directory = EncoderDirectory(["127.0.0.1:1"])
    await directory.start()
    with pytest.raises(Unavailable, match="do not answer"):
        await directory.encoder("tiny")
    await directory.close()
