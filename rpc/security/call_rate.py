"""How many calls a second one caller may make."""

import asyncio
import threading
import time


class CallRate:
    """A token bucket: `per_s` calls a second, and as many at once after a second without any; 0 sets no limit."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._most = max(1.0, per_s)
        self._left = self._most
        self._counted_s = time.monotonic()
        self._lock = threading.Lock()

    def take(self) -> float:
        """Count one call and return 0; where none is left, how long to wait for one, in seconds."""
        if not self._per_s:
            return 0.0
        with self._lock:
            now_s = time.monotonic()
            self._left = min(self._most, self._left + (now_s - self._counted_s) * self._per_s)
            self._counted_s = now_s
            if self._left < 1:
                return (1 - self._left) / self._per_s
            self._left -= 1
        return 0.0

    def wait_in_thread(self) -> None:
        """Count one call, as soon as one is left; this thread waits for it."""
        while wait_s := self.take():
            time.sleep(wait_s)

    async def wait(self) -> None:
        """Count one call, as soon as one is left."""
        wait_s = self.take()
        while wait_s:
            await asyncio.sleep(wait_s)
            wait_s = self.take()
