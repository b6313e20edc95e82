"""The byte budget is never overdrawn and forgets nobody."""

import asyncio

import pytest

from services.ingest.budget import ByteBudget


async def test_waits_until_there_is_room() -> None:
    """Who finds no room gets it when somebody gives back, first come first served."""
    budget = ByteBudget(10)
    taken = await budget.take(8)
    large, small = asyncio.create_task(budget.take(9)), asyncio.create_task(budget.take(1))
    await asyncio.sleep(0)
    assert not large.done()
    assert not small.done(), "a small one must not overtake a large one for ever"
    budget.give_back(taken)
    assert (await large, await small) == (9, 1)


async def test_more_than_everything_passes_alone() -> None:
    """One picture larger than the budget is taken when nothing else is held."""
    budget = ByteBudget(10)
    taken = await budget.take(1)
    huge = asyncio.create_task(budget.take(50))
    await asyncio.sleep(0)
    assert not huge.done()
    budget.give_back(taken)
    assert await huge == 10


async def test_who_leaves_the_queue_takes_nothing_along() -> None:
    """A cancelled wait neither blocks the others nor loses bytes, also when it was just granted."""
    budget = ByteBudget(10)
    taken = await budget.take(10)
    waiting, other = asyncio.create_task(budget.take(5)), asyncio.create_task(budget.take(10))
    await asyncio.sleep(0)
    budget.give_back(taken)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await other == 10
