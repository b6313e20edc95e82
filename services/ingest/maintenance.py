"""Maintenance: recovers unfinished writes, flushes collections after an ingest, and removes unused uploads."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Iterable

from rpc.errors import NotFound, ServiceError
from services.ingest.item import Added, IngestOutcome
from services.ingest.upload_cleanup import UploadCleanup
from services.stores.images import ImageStore
from services.stores.records import PutStatus

_TICK_S = 0.5
_FULL_CLEANUP_PERIOD_S = 3600.0

logger = logging.getLogger(__name__)


class Maintenance:
    """Sweeps every collection at start and then periodically; `run` it in a task of its own."""

    def __init__(
        self, store: ImageStore, cleanup: UploadCleanup | None = None, *, sweep_period_s: float, quiet_s: float
    ) -> None:
        self._store = store
        self._cleanup = cleanup
        self._sweep_period_s = sweep_period_s
        self._quiet_s = quiet_s
        self._written_at_s: dict[str, float] = {}
        self._released: set[str] = set()  # SHA-256 of bytes that an image no longer has
        self._next_full_cleanup_s = 0.0

    def note_outcome(self, collection: str, outcome: IngestOutcome) -> None:
        """Remember that a collection was written to, and which bytes were replaced."""
        if isinstance(outcome, Added) and outcome.status is not PutStatus.UNCHANGED:
            self._written_at_s[collection] = time.monotonic()
            if outcome.replaced_sha256:
                self._released.add(outcome.replaced_sha256)

    def note_deleted(self, sha256s: Iterable[str]) -> None:
        """Remember the bytes of deleted images."""
        self._released.update(sha256s)

    def note_dropped(self) -> None:
        """Remember that any upload may be unused now."""
        self._next_full_cleanup_s = 0.0

    async def run(self) -> None:
        """Work until cancelled; what fails is tried again the next time."""
        next_sweep_s = 0.0
        while True:
            if time.monotonic() >= next_sweep_s:
                await self._attempt(self._sweep())
                next_sweep_s = time.monotonic() + self._sweep_period_s
            await self._flush_quiet()
            if self._cleanup is not None:
                await self._attempt(self._clean_uploads(self._cleanup))
            await asyncio.sleep(_TICK_S)

    async def _sweep(self) -> None:
        await self._attempt(self._store.drop_remains())
        for collection in await self._store.collections():
            await self._attempt(self._store.sweep(collection.name))

    async def _clean_uploads(self, cleanup: UploadCleanup) -> None:
        """Check the uploads that were released; at start, after a drop and every hour check all of them."""
        is_full = time.monotonic() >= self._next_full_cleanup_s
        if is_full:
            self._next_full_cleanup_s = time.monotonic() + _FULL_CLEANUP_PERIOD_S
        released, self._released = self._released, set()
        try:
            if is_full:
                await cleanup.clean_all()
            elif released:
                await cleanup.clean(released)
        except ServiceError:
            # The released ones are forgotten, so all of them are checked soon.
            retry_s = time.monotonic() + self._sweep_period_s
            self._next_full_cleanup_s = min(retry_s, self._next_full_cleanup_s)
            raise

    async def _flush_quiet(self) -> None:
        now_s = time.monotonic()
        quiet = [name for name, written_at_s in self._written_at_s.items() if now_s - written_at_s >= self._quiet_s]
        for name in quiet:
            del self._written_at_s[name]
            await self._attempt(self._store.flush(name))

    async def _attempt(self, work: Awaitable[None]) -> None:
        try:
            await work
        except NotFound:
            logger.info("a collection was dropped during its maintenance")
        except ServiceError as error:
            logger.warning("maintenance failed", extra={"cause": error.message})
        except Exception:
            logger.exception("maintenance failed")
