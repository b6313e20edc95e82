"""Work on one key goes one after the other, work on different keys side by side."""

import asyncio

from services.ingest.turns import Turns


async def test_one_key_in_order_of_asking() -> None:
    """The second waits for the first, and a third key's holder for nobody."""
    turns, release = Turns(), asyncio.Event()
    log: list[str] = []

    async def work(key: str, name: str) -> None:
        async with turns.of(key):
            log.append(f"{name} in")
            if name == "first":
                await release.wait()
            log.append(f"{name} out")

    first, second, third = (
        asyncio.create_task(work(*pair)) for pair in (("a", "first"), ("a", "second"), ("b", "third"))
    )
    await third
    assert log == ["first in", "third in", "third out"]
    release.set()
    await asyncio.gather(first, second)
    assert log[3:] == ["first out", "second in", "second out"]


async def test_a_turn_that_failed_or_was_cancelled_frees_the_key() -> None:
    """Nobody waits for a holder that is gone."""
    turns = Turns()
    entered = asyncio.Event()

    async def hang() -> None:
        async with turns.of("a"):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hang())
    await entered.wait()
    task.cancel()
    async with turns.of("a"):
        pass
