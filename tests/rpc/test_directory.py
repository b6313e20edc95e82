"""The directory knows who serves what."""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest

from cli.ports import free_ports
from fovea.encoder.v1.encoder_pb2 import EncoderInfo
from fovea.types.v1.types_pb2 import MODALITY_IMAGE, MODALITY_TEXT
from rpc.directory import EncoderDirectory
from rpc.errors import FailedPrecondition, NotFound, Unavailable
from rpc.server import ThreadServer
from tests.rpc.conftest import ThreadEncoder, serving


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


async def test_a_bundle_may_be_renamed() -> None:
    """A collection finds an encoder of images by its space; the name only chooses between several."""
    bundles = [EncoderInfo(name=name, space="s", dimension=4, modalities=[MODALITY_IMAGE]) for name in ("one", "two")]
    words = EncoderInfo(name="a_words", space="s", dimension=4, modalities=[MODALITY_TEXT])
    with serving_bundles(words, *bundles) as targets:
        directory = EncoderDirectory(targets)
        await directory.start()
        assert (await directory.checked("two", "s")).info.name == "two"
        assert (await directory.checked("former", "s")).info.name == "one"
        with pytest.raises(NotFound):
            await directory.checked("former", "t")
        await directory.close()


async def test_silent_process_is_not_taken_for_a_wrong_name() -> None:
    """While a process is away, an unknown name may be its."""
    directory = EncoderDirectory(["127.0.0.1:1"])
    await directory.start()
    with pytest.raises(Unavailable, match="do not answer"):
        await directory.encoder("tiny")
    await directory.close()


async def test_a_process_that_has_just_started_is_waited_for() -> None:
    """A channel that found nobody rests before it tries again; a bundle of a process that listens by now is found all the same."""
    (port,) = free_ports(1)
    directory = EncoderDirectory([f"127.0.0.1:{port}"])
    await directory.start()
    for _ in range(3):
        await directory.refresh()
    with serving(ThreadEncoder(images("a", is_default=True)), port):
        assert (await directory.default_encoder()).info.name == "a"
    await directory.close()


async def test_bundle_that_went_away_is_forgotten(directory: EncoderDirectory, thread_encoder: ThreadEncoder) -> None:
    """A process that serves another bundle now serves that one alone."""
    await directory.encoder("tiny")
    thread_encoder.bundles = (EncoderInfo(name="zoo", space="s", dimension=4),)
    await directory.refresh()

    assert [entry.info.name for entry in await directory.encoders()] == ["zoo"]
    with pytest.raises(NotFound, match="served are: zoo"):
        await directory.encoder("tiny")


async def test_one_name_with_two_spaces_is_refused_with_both_processes() -> None:
    """Bundles of two models that share a name are never mixed; when one of them leaves, the other is used."""
    one, other = (ThreadEncoder(EncoderInfo(name="tiny", space=space, dimension=4)) for space in ("s", "t"))
    with serving(one) as first, serving(other) as second:
        targets = [f"127.0.0.1:{server.port}" for server in (first, second)]
        directory = EncoderDirectory(targets)
        await directory.start()
        for lookup in (directory.encoder("tiny"), directory.checked("tiny", "s")):
            with pytest.raises(FailedPrecondition) as caught:
                await lookup
            assert all(target in caught.value.message for target in targets)

        other.bundles = (EncoderInfo(name="zoo", space="t", dimension=4),)
        await directory.refresh()

        assert (await directory.checked("tiny", "s")).info.name == "tiny"
        await directory.close()


@contextmanager
def serving_bundles(*bundles: EncoderInfo) -> Iterator[list[str]]:
    """The address of an encoder process with these bundles."""
    with serving(ThreadEncoder(*bundles)) as server:
        yield [f"127.0.0.1:{server.port}"]


def images(name: str, *, is_default: bool = False) -> EncoderInfo:
    """A bundle that embeds images."""
    return EncoderInfo(name=name, space="s", dimension=4, modalities=[MODALITY_IMAGE], is_default=is_default)


async def test_default_is_found_without_a_name() -> None:
    """Of several encoders the one that says so is the default."""
    with serving_bundles(images("a"), images("b", is_default=True)) as targets:
        directory = EncoderDirectory(targets)
        await directory.start()
        assert (await directory.default_encoder()).info.name == "b"
        await directory.close()


async def test_two_defaults_are_logged_and_the_first_by_name_counts(caplog: pytest.LogCaptureFixture) -> None:
    """The choice depends on the names alone, it is logged once, and only one bundle is listed as the default."""
    caplog.set_level(logging.WARNING)
    with serving_bundles(images("b", is_default=True), images("a", is_default=True)) as targets:
        directory = EncoderDirectory(targets)
        await directory.start()
        await directory.refresh()
        assert (await directory.default_encoder()).info.name == "a"
        assert [entry.info.is_default for entry in await directory.encoders()] == [True, False]
        await directory.close()
    causes = [getattr(record, "cause", "") for record in caplog.records if "claim to be the default" in record.message]
    assert causes == ["a, b all say that they are the default encoder: a is used"]


async def test_without_a_default_the_choices_are_named() -> None:
    """Only encoders that embed images are proposed."""
    text = EncoderInfo(name="words", space="s", dimension=4, modalities=[MODALITY_TEXT])
    with serving_bundles(images("b"), images("a"), text) as targets:
        directory = EncoderDirectory(targets)
        await directory.start()
        with pytest.raises(NotFound, match=r"name one that embeds images: a, b$"):
            await directory.default_encoder()
        await directory.close()


async def test_a_process_that_is_away_may_have_the_default() -> None:
    """No choice is asked for while the default may only be restarting."""
    with serving_bundles(images("a")) as targets:
        directory = EncoderDirectory([*targets, "127.0.0.1:1"])
        await directory.start()
        with pytest.raises(Unavailable, match="no default encoder is served, and these processes do not answer"):
            await directory.default_encoder()
        await directory.close()
