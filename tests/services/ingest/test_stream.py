"""A stream reads items while it has permits, and answers each as it finishes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import cast

import pytest

from rpc.errors import InvalidArgument
from services.ingest.admission import ItemAdmission
from services.ingest.item import Added, Failed, Item, LoadedImage
from services.ingest.reader import ItemReader
from services.ingest.stream import CurrentPipeline, IngestStream
from services.stores.records import PutStatus, image_id_of
from sources.roots import ImageRoots
from tests.support.images import encoded, plain

RED = encoded(plain("red"))


class Gate:
    """A pipeline whose images wait until each is released; it counts those inside."""

    def __init__(self) -> None:
        self.inside: dict[str, asyncio.Event] = {}
        self.changed = asyncio.Event()

    async def add(self, image: LoadedImage) -> Added:
        """Waits until the image is released."""
        if image.uri == "bug":
            raise ZeroDivisionError
        self.inside[image.uri] = asyncio.Event()
        self.changed.set()
        try:
            await self.inside[image.uri].wait()
        finally:
            del self.inside[image.uri]
        return Added(image.uri, image_id_of(image.uri), PutStatus.ADDED, 1)

    async def until(self, *uris: str) -> None:
        """Waits until just these images are inside."""
        while set(self.inside) != set(uris):
            self.changed.clear()
            await self.changed.wait()


class Source:
    """Items that are counted as they are taken."""

    def __init__(self, *items: Item | Failed) -> None:
        self._items = items
        self._moved = asyncio.Event()
        self.taken = 0

    async def items(self) -> AsyncIterator[Item | Failed]:
        """All items, as fast as they are taken."""
        for item in self._items:
            self.taken += 1
            self._moved.set()
            yield item

    async def until(self, taken: int) -> None:
        """Waits until so many are taken."""
        while self.taken < taken:
            self._moved.clear()
            await self._moved.wait()


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
async def admission() -> AsyncIterator[ItemAdmission]:
    reader = ItemReader(ImageRoots([]), None, 1 << 20)
    admission = ItemAdmission(reader, threads=2, max_bytes=1 << 20, max_items=99)
    yield admission
    admission.close()


def stream(gate: Gate, admission: ItemAdmission, *, max_items: int = 2, item_time_s: float = 60) -> IngestStream:
    return IngestStream(
        "photos",
        admission=admission,
        pipeline=cast("CurrentPipeline", gate),
        max_items=max_items,
        item_time_s=item_time_s,
    )


async def test_items_are_taken_while_there_is_room(gate: Gate, admission: ItemAdmission) -> None:
    """No more items are read than may be in flight; an answer that is not read holds its permit."""
    source = Source(*(Item(uri, RED, {}) for uri in "abcd"))
    async with aclosing(stream(gate, admission).outcomes(source.items())) as outcomes:
        first = asyncio.ensure_future(anext(outcomes))
        await gate.until("a", "b")
        assert source.taken == 3, "one more was read and waits for a permit"
        gate.inside["b"].set()
        assert (await first).uri == "b"
        assert list(gate.inside) == ["a"], "the place of b is free only when the next answer is asked for"
        second = asyncio.ensure_future(anext(outcomes))
        await gate.until("a", "c")
        gate.inside["c"].set()
        assert (await second).uri == "c"


@pytest.mark.parametrize(
    "waiting", [Item("a", RED, {}), Item("b", RED.ljust(1 << 20, b"\0"), {})], ids=["for its uri", "for bytes"]
)
async def test_no_more_is_read_while_an_item_waits(gate: Gate, admission: ItemAdmission, waiting: Item) -> None:
    """Of one stream at most one message waits whose bytes are not counted, and it goes on as soon as it can."""
    source = Source(Item("a", RED, {}), waiting, Item("c", RED, {}))
    async with aclosing(stream(gate, admission, max_items=9).outcomes(source.items())) as outcomes:
        first = asyncio.ensure_future(anext(outcomes))
        await gate.until("a")
        assert source.taken == 2
        gate.inside["a"].set()
        assert (await first).uri == "a"
        await source.until(3)


async def test_failures_of_every_kind_are_answers(gate: Gate, admission: ItemAdmission) -> None:
    """A bad message, a bad image, a bug and an image that takes too long each fail alone."""
    items: list[Item | Failed] = [
        Failed("message", InvalidArgument("bad")),
        Item("image", b"none", {}),
        Item("bug", RED, {}),
        Item("slow", RED, {}),
    ]
    running = stream(gate, admission, max_items=9, item_time_s=0.5)
    answers: dict[str, Failed] = {}
    async with aclosing(running.outcomes(Source(*items).items())) as outcomes:
        async for outcome in outcomes:
            assert isinstance(outcome, Failed)
            answers[outcome.uri] = outcome
    codes = {uri: answer.error.code.name for uri, answer in answers.items()}
    assert codes == {
        "message": "INVALID_ARGUMENT",
        "image": "INVALID_ARGUMENT",
        "bug": "INTERNAL",
        "slow": "DEADLINE_EXCEEDED",
    }
    assert "ZeroDivision" not in answers["bug"].error.message


async def test_closing_cancels_what_runs_and_releases_the_bytes(gate: Gate, admission: ItemAdmission) -> None:
    """A stream whose caller left releases everything."""
    outcomes = stream(gate, admission).outcomes(Source(*(Item(uri, RED, {}) for uri in "abcd")).items())
    waiting = asyncio.ensure_future(anext(outcomes))
    await gate.until("a", "b")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await outcomes.aclose()
    assert gate.inside == {}
    async with admission.admit("photos", Item("a", b"x" * (1 << 20), {}), max_s=10):
        """Nothing else is held."""


async def test_a_source_that_breaks_ends_the_stream(gate: Gate, admission: ItemAdmission) -> None:
    """An error of the source is raised after the answers that were ready."""

    async def broken() -> AsyncIterator[Item | Failed]:
        yield Failed("message", InvalidArgument("bad"))
        raise ConnectionResetError

    outcomes = stream(gate, admission).outcomes(broken())
    assert (await anext(outcomes)).uri == "message"
    with pytest.raises(ConnectionResetError):
        await anext(outcomes)
