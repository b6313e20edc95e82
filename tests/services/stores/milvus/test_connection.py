"""The connection to Milvus: how many calls of a process stand in front of the engine at once."""

import asyncio

import pytest

from rpc.deadline import Deadline
from rpc.errors import DeadlineExceeded
from services.stores.milvus.connection import CALLS_AT_ONCE, MilvusConnection


async def test_few_calls_are_at_the_engine_at_once(milvus_uri: str) -> None:
    """What an ingest has to write waits in its own process, so a search of another one stands behind a few calls only."""
    connection = await MilvusConnection.open(milvus_uri)
    running, most = 0, 0

    async def call() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1

    try:
        await asyncio.gather(*(connection.call(Deadline.after(10), call) for _ in range(100)))
        assert most == CALLS_AT_ONCE[connection.machine.engine]
    finally:
        await connection.close()


async def test_the_deadline_bounds_the_wait_for_the_engine(milvus_uri: str) -> None:
    """A call that never gets its turn ends with its deadline, and the permit of one that was cut off comes back."""
    connection = await MilvusConnection.open(milvus_uri)
    blocked = asyncio.Event()
    try:
        holders = [
            asyncio.create_task(connection.call(Deadline.after(10), blocked.wait))
            for _ in range(CALLS_AT_ONCE[connection.machine.engine])
        ]
        await asyncio.sleep(0)
        with pytest.raises(DeadlineExceeded):
            await connection.call(Deadline.after(0.05), blocked.wait)
        for holder in holders:
            holder.cancel()
        await asyncio.gather(*holders, return_exceptions=True)
        blocked.set()
        assert await connection.call(Deadline.after(10), blocked.wait)
    finally:
        await connection.close()
