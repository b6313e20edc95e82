"""Housekeeper: finishes what crashes left half done, settles collections that went quiet, removes unused uploads."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Iterable

from rpc.errors import NotFound, ServiceError
from services.ingest.item import Added, Outcome
from services.ingest.kept_uploads import KeptUploads
from services.stores.images import ImageStore
from services.stores.records import PutStatus

_TICK_S = 0.5
_LOOK_PERIOD_S = 3600.0

logger = logging.getLogger(__name__)


class Housekeeper:
    """Sweeps every collection at start and then periodically; `run` it in a task of its own."""

    def __init__(
        self, store: ImageStore, kept: KeptUploads | None = None, *, sweep_period_s: float, quiet_s: float
    ) -> None:
        self._store = store
        self._sweep_period_s = sweep_period_s
        self._quiet_s = quiet_s
        self._written_at_s: dict[str, float] = {}
        self._kept = kept
        self._freed: set[str] = set()
        self._looks_at_all = True
        self._next_look_s = time.monotonic() + _LOOK_PERIOD_S

    def note(self, collection: str, outcome: Outcome) -> None:
        """Remembers that a collection was written to."""
        if isinstance(outcome, Added) and outcome.status is not PutStatus.UNCHANGED:
            self._written_at_s[collection] = time.monotonic()
            if outcome.replaced_sha256:
                self._freed.add(outcome.replaced_sha256)

    def note_deleted(self, sha256s: Iterable[str]) -> None:
        """Remembers bytes that images had which are deleted now."""
        self._freed.update(sha256s)

    def note_dropped(self) -> None:
        """Remembers that any bytes may be unused now."""
        self._looks_at_all = True

    async def run(self) -> None:
        """Keeps house until it is cancelled; what fails is tried again next time."""
        next_sweep_s = 0.0
        while True:
            if time.monotonic() >= next_sweep_s:
                await self._attempt(self._sweep())
                next_sweep_s = time.monotonic() + self._sweep_period_s
            await self._settle()
            if self._kept is not None:
                await self._attempt(self._collect(self._kept))
            await asyncio.sleep(_TICK_S)

    async def _sweep(self) -> None:
        for collection in await self._store.collections():
            await self._attempt(self._store.sweep(collection.name))

    async def _collect(self, kept: KeptUploads) -> None:
        """Remove the uploads that were freed; at start, after a drop and now and then look at all of them."""
        if time.monotonic() >= self._next_look_s:
            self._looks_at_all, self._next_look_s = True, time.monotonic() + _LOOK_PERIOD_S
        looks_at_all, self._looks_at_all = self._looks_at_all, False
        freed, self._freed = self._freed, set()
        try:
            if looks_at_all:
                await kept.collect_all()
            elif freed:
                await kept.collect(freed)
        except ServiceError:
            self._next_look_s = time.monotonic() + self._sweep_period_s
            raise

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
