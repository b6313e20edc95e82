"""Housekeeper: finishes or undoes writes that a crash left half done, and settles collections that went quiet."""

import asyncio
import logging
import time
from collections.abc import Awaitable

from rpc.errors import NotFound, ServiceError
from services.ingest.item import Added, Outcome
from services.stores.images import ImageStore
from services.stores.records import PutStatus

_TICK_S = 0.5

logger = logging.getLogger(__name__)


class Housekeeper:
    """Sweeps every collection at start and then periodically; `run` it in a task of its own."""

    def __init__(self, store: ImageStore, *, sweep_period_s: float, quiet_s: float) -> None:
        self._store = store
        self._sweep_period_s = sweep_period_s
        self._quiet_s = quiet_s
        self._written_at_s: dict[str, float] = {}

    def note(self, collection: str, outcome: Outcome) -> None:
        """Remembers that a collection was written to."""
        if isinstance(outcome, Added) and outcome.status is not PutStatus.UNCHANGED:
            self._written_at_s[collection] = time.monotonic()

    async def run(self) -> None:
        """Keeps house until it is cancelled; what fails is tried again next time."""
        next_sweep_s = 0.0
        while True:
            if time.monotonic() >= next_sweep_s:
                await self._attempt(self._sweep())
                next_sweep_s = time.monotonic() + self._sweep_period_s
            await self._settle()
            await asyncio.sleep(_TICK_S)

    async def _sweep(self) -> None:
        for collection in await self._store.collections():
            await self._attempt(self._store.sweep(collection.name))

    async def _settle(self) -> None:
        now_s = time.monotonic()
        quiet = [name for name, written_at_s in self._written_at_s.items() if now_s - written_at_s >= self._quiet_s]
        for name in quiet:
            del self._written_at_s[name]
            await self._attempt(self._store.settle(name))

    async def _attempt(self, work: Awaitable[None]) -> None:
        try:
            await work
        except NotFound:
            logger.info("a collection went away while it was looked after")
        except ServiceError as error:
            logger.warning("housekeeping failed", extra={"cause": error.message})
        except Exception:
            logger.exception("housekeeping failed")
