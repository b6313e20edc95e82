"""Calls that run at once: all answers in order, or one error for the caller."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpc.errors import NotFound, ServiceError, Unavailable
from rpc.tasks import gather

ERRORS = st.lists(st.sampled_from([None, NotFound("a"), Unavailable("b"), ValueError("c")]), max_size=6)


@given(ERRORS)
async def test_gather_answers_or_raises_an_error_of_the_calls(errors: list[Exception | None]) -> None:
    """Never a group: an error for callers where there is one, else any; without errors the answers in order."""

    async def call(position: int, error: Exception | None) -> int:
        await asyncio.sleep(0)
        if error is not None:
            raise error
        return position

    calls = [call(*each) for each in enumerate(errors)]
    raised = [error for error in errors if error is not None]
    if not raised:
        assert await gather(*calls) == list(range(len(errors)))
        return
    with pytest.raises((ServiceError, ValueError)) as failed:
        await gather(*calls)
    assert failed.value in raised
    assert isinstance(failed.value, ServiceError) or not any(isinstance(error, ServiceError) for error in raised)


async def test_the_first_error_cancels_the_rest() -> None:
    """What still runs is cancelled, and has ended when the error is raised."""
    ended = asyncio.Event()

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def fail() -> None:
        raise NotFound("gone")

    with pytest.raises(NotFound):
        await gather(wait(), fail())
    assert ended.is_set()


async def test_a_cancelled_gather_cancels_its_calls() -> None:
    """A caller that leaves takes its calls along."""
    started, calls = asyncio.Event(), list[asyncio.Task[object]]()

    async def wait() -> None:
        current = asyncio.current_task()
        assert current is not None
        calls.append(current)
        started.set()
        await asyncio.Event().wait()

    gathering = asyncio.create_task(gather(wait()))
    await started.wait()
    gathering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gathering
    assert [call.cancelled() for call in calls] == [True]
