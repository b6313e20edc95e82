"""A batcher passes on the waiting requests, answers every caller, and has no timer."""

import asyncio
from collections.abc import Sequence

import pytest

from rpc.errors import InvalidArgument, ServiceError, Unavailable
from services.ingest.batcher import MicroBatcher


class Gate:
    """A handler that doubles numbers and holds its batches until it is opened."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.opened = asyncio.Event()
        self.entered = asyncio.Event()

    async def handle(self, numbers: Sequence[int]) -> Sequence[int | ServiceError]:
        """Notes the batch, waits for the gate, and doubles."""
        self.batches.append(list(numbers))
        self.entered.set()
        await self.opened.wait()
        if 13 in numbers:
            raise Unavailable("the whole batch fails")
        return [InvalidArgument("odd") if number % 2 else number * 2 for number in numbers]


async def test_what_waits_is_the_next_batch() -> None:
    """The first request goes at once; the others go together as soon as the worker is free."""
    gate = Gate()
    async with MicroBatcher(gate.handle, max_requests=3, calls=1) as batcher:
        first = asyncio.create_task(batcher.submit(0))
        await gate.entered.wait()
        others = [asyncio.create_task(batcher.submit(number)) for number in (2, 4, 6, 8)]
        await asyncio.sleep(0)
        gate.opened.set()
        assert await asyncio.gather(first, *others) == [0, 4, 8, 12, 16]
    assert gate.batches == [[0], [2, 4, 6], [8]]


async def test_batches_are_bounded_by_bytes() -> None:
    """A batch stops before its bytes exceed the bound; a request above the bound goes alone."""
    gate = Gate()
    async with MicroBatcher(gate.handle, max_requests=9, calls=1, max_bytes=10, size_of=int) as batcher:
        first = asyncio.create_task(batcher.submit(2))
        await gate.entered.wait()
        others = [asyncio.create_task(batcher.submit(number)) for number in (4, 6, 8, 20, 2)]
        await asyncio.sleep(0)
        gate.opened.set()
        await asyncio.gather(first, *others)
    assert gate.batches == [[2], [4, 6], [8], [20], [2]]


async def test_one_request_fails_alone() -> None:
    """An error among the answers belongs to one request."""
    gate = Gate()
    gate.opened.set()
    async with MicroBatcher(gate.handle, max_requests=3, calls=1) as batcher:
        answers = await asyncio.gather(*(batcher.submit(number) for number in (0, 1, 2)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [int, InvalidArgument, int]
    assert len(gate.batches) == 1


async def test_a_failed_batch_answers_everybody_and_the_next_one_works() -> None:
    """Every caller gets the error of its batch."""
    gate = Gate()
    gate.opened.set()
    async with MicroBatcher(gate.handle, max_requests=3, calls=1) as batcher:
        answers = await asyncio.gather(*(batcher.submit(number) for number in (13, 2)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [Unavailable, Unavailable]
        assert await batcher.submit(2) == 4


async def test_batches_overlap() -> None:
    """As many batches are under way as there are calls."""
    gate = Gate()
    async with MicroBatcher(gate.handle, max_requests=1, calls=2) as batcher:
        asks = [asyncio.create_task(batcher.submit(number)) for number in (0, 2, 4)]
        for _ in range(5):
            await asyncio.sleep(0)
        assert gate.batches == [[0], [2]]
        gate.opened.set()
        await asyncio.gather(*asks)


async def test_requests_of_callers_that_left_are_dropped() -> None:
    """A request whose caller has left is not computed."""
    gate = Gate()
    async with MicroBatcher(gate.handle, max_requests=3, calls=1) as batcher:
        first = asyncio.create_task(batcher.submit(0))
        await gate.entered.wait()
        gone, stays = asyncio.create_task(batcher.submit(2)), asyncio.create_task(batcher.submit(4))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        gate.opened.set()
        assert (await first, await stays) == (0, 8)
    assert gate.batches == [[0], [4]]


async def test_closing_answers_those_who_wait() -> None:
    """A closed batcher cancels the waiting callers."""
    gate = Gate()
    async with MicroBatcher(gate.handle, max_requests=1, calls=1) as batcher:
        asks = [asyncio.create_task(batcher.submit(number)) for number in (0, 2)]
        await gate.entered.wait()
    with pytest.raises(asyncio.CancelledError):
        await asks[0]
    with pytest.raises(asyncio.CancelledError):
        await asks[1]
