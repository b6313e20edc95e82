"""Backoff: bulk calls wait while a model server is overloaded, for as long as the server asks and the deadline allows."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from rpc.deadline import Deadline
from rpc.errors import Overloaded

AnswerT = TypeVar("AnswerT")

_DEFAULT_WAIT_S = 0.1


async def retried(call: Callable[[], Awaitable[AnswerT]], deadline: Deadline) -> AnswerT:
    """Call again after each Overloaded; raises it when the deadline comes before the next attempt."""
    while True:
        try:
            return await call()
        except Overloaded as error:
            # With jitter, so that the batches of all streams do not come back at the same moment.
            wait_s = (error.retry_after_s or _DEFAULT_WAIT_S) * random.uniform(1.0, 1.5)
            if wait_s >= deadline.left_s():
                raise
            await asyncio.sleep(wait_s)
