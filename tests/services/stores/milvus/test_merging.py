"""Writes of many callers become few calls, and each caller learns what became of its own."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import chain
from typing import Any

import pytest

from rpc.deadline import Deadline
from rpc.errors import DeadlineExceeded, Internal, Unavailable
from services.stores.milvus.merging import MergedWrites


class OneAtATime:
    """A connection that has one permit, and a collection that refuses the item "bad"."""

    def __init__(self, *, is_away: bool = False, loses_answers: bool = False) -> None:
        self.is_away = is_away
        self.permit = asyncio.Semaphore(1)
        self.inserted: list[list[Any]] = []
        self.upserted: list[list[Any]] = []
        self.loses_answers = loses_answers

    async def call(self, _name: str, deadline: Deadline, method: Callable[..., Awaitable[None]], *args: Any) -> None:
        """What a connection does, with a repetition where the answer got lost."""
        async with asyncio.timeout(deadline.left_s()), self.permit:
            await method("stored", *args)
            if self.loses_answers:
                await method("stored", *args)

    async def insert(self, _name: str, items: list[Any]) -> None:
        """Takes a moment, in which others come to wait."""
        if self.is_away:
            raise Unavailable("away")
        await asyncio.sleep(0.02)
        if "bad" in items:
            raise Internal("refused")
        self.inserted.append(list(items))

    async def upsert(self, _name: str, items: list[Any]) -> None:
        """The write for a second attempt."""
        if "bad" in items:
            raise Internal("refused")
        self.upserted.append(list(items))

    def writes(self, *, most_items: int = 100) -> MergedWrites:
        """The writes under test."""
        return MergedWrites(self.call, self.insert, again=self.upsert, most_items=most_items)


async def test_what_waits_is_written_together() -> None:
    connection = OneAtATime()
    writes = connection.writes()
    await asyncio.gather(*(writes.add("c", [number], Deadline.after(5)) for number in range(20)))
    assert sorted(chain(*connection.inserted)) == list(range(20))
    assert len(connection.inserted) <= 2


async def test_a_call_has_a_size_and_one_collection() -> None:
    connection = OneAtATime()
    writes = connection.writes(most_items=8)
    names = ["a", "b"] * 10
    await asyncio.gather(*(writes.add(name, [name] * 3, Deadline.after(5)) for name in names))
    assert sum(map(len, connection.inserted)) == 60
    assert all(len(items) <= 8 and len(set(items)) == 1 for items in connection.inserted)


async def test_a_refused_item_fails_its_own_caller_only() -> None:
    connection = OneAtATime()
    writes = connection.writes()
    results = await asyncio.gather(
        *(writes.add("c", [item], Deadline.after(5)) for item in ["first", "good", "bad", "fine"]),
        return_exceptions=True,
    )
    assert [isinstance(result, Internal) for result in results] == [False, False, True, False]
    assert {"first", "good", "fine"} <= {item for items in connection.inserted + connection.upserted for item in items}


async def test_a_caller_that_leaves_does_not_end_the_write_of_others() -> None:
    """A short deadline, or a cancelled call, ends the wait of one caller; the write of the others goes on."""
    connection = OneAtATime()
    writes = connection.writes()
    async with connection.permit:
        hasty = asyncio.create_task(writes.add("c", ["hasty"], Deadline.after(0.01)))
        cancelled = asyncio.create_task(writes.add("c", ["cancelled"], Deadline.after(5)))
        waiting = asyncio.create_task(writes.add("c", ["waiting"], Deadline.after(5)))
        with pytest.raises(DeadlineExceeded):
            await hasty
        cancelled.cancel()
    await waiting
    assert "waiting" in connection.inserted[0]


async def test_a_repeated_call_is_an_upsert() -> None:
    """Milvus Lite keeps a row twice that is inserted twice, and a search would then find fewer images."""
    connection = OneAtATime(loses_answers=True)
    await connection.writes().add("c", ["row"], Deadline.after(5))
    assert (connection.inserted, connection.upserted) == ([["row"]], [["row"]])


async def test_an_error_of_the_call_reaches_all_callers_and_the_next_write_works() -> None:
    connection = OneAtATime(is_away=True)
    writes = connection.writes()
    results = await asyncio.gather(*(writes.add("c", [n], Deadline.after(5)) for n in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [Unavailable] * 3
    connection.is_away = False
    await writes.add("c", ["next"], Deadline.after(5))
    assert connection.inserted == [["next"]]
