"""Patience: bulk work waits when a model server is busy, as long as the server asks for and the deadline allows."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from rpc.deadline import Deadline
from rpc.errors import Overloaded

AnswerT = TypeVar("AnswerT")

_DEFAULT_WAIT_S = 0.1


async def patiently(call: Callable[[], Awaitable[AnswerT]], deadline: Deadline) -> AnswerT:
    """Calls again after each Overloaded; raises it when the deadline comes before the next try."""
    while True:
        try:
            return await call()
        except Overloaded as error:
            # Spread, so that the batches of all streams do not come back at the same moment.
            wait_s = (error.retry_after_s or _DEFAULT_WAIT_S) * random.uniform(1.0, 1.5)
            if wait_s >= deadline.left_s():
                raise
            await asyncio.sleep(wait_s)
