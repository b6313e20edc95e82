"""Budget: how many bytes of pictures the process holds at once; who comes first is served first."""

import asyncio
from collections import deque


class ByteBudget:
    """A fair semaphore over bytes; one picture larger than the whole budget passes alone."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._left = max_bytes
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, size: int) -> int:
        """Waits until `size` bytes are free; gives what is to be given back."""
        size = min(size, self._max_bytes)
        if not self._waiting and size <= self._left:
            self._left -= size
            return size
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._left += size
            self._admit()
            raise
        return size

    def give_back(self, size: int) -> None:
        """Frees what `take` gave."""
        self._left += size
        self._admit()

    def _admit(self) -> None:
        while self._waiting:
            size, turn = self._waiting[0]
            if not turn.done():
                if size > self._left:
                    return
                self._left -= size
                turn.set_result(None)
            self._waiting.popleft()
