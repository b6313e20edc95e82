"""The ingest of a folder as a job: scan it, add its images in the order of the scan, prune."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from itertools import islice
from pathlib import Path

from rpc.deadline import Deadline
from rpc.errors import (
    Aborted,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Overloaded,
    PermissionDenied,
    Unavailable,
)
from services.ingest.item import Added, IngestOutcome, Item
from services.ingest.jobs.job import Job, JobPhase
from services.ingest.maintenance import Maintenance
from services.ingest.stream import Ingester
from services.stores.images import PAGE_SIZE, ImageStore
from services.stores.records import ImageRecord, image_id_of
from sources.errors import MissingSourceError, OutsideRootsError, PatternError, SourceError
from sources.file_groups import FilesByReason
from sources.pruning import Pruning
from sources.roots import ImageRoots
from sources.scan import FolderScan

SCAN_BATCH = 256
MAX_IMAGES = 1_000_000
MAX_NAMED = 20  # of the files that share a reason
# How long an image is tried again while a store or an encoder is away, or while a writer that died still holds it.
IMAGE_WAIT_S = 90.0
DELETE_TIMEOUT_S = 60.0

# What is away now may be there in a moment, and what another writer holds is free then.
PASSING = (Aborted, DeadlineExceeded, Overloaded, Unavailable)


class FolderJobs:
    """Ingests folders below the image roots."""

    def __init__(self, *, roots: ImageRoots, ingester: Ingester, store: ImageStore, maintenance: Maintenance) -> None:
        self._roots = roots
        self._ingester = ingester
        self._store = store
        self._maintenance = maintenance
        self._failing_since_s: dict[tuple[str, str], float] = {}  # by job and uri

    def scan(self, folder: str, exclude: Sequence[str]) -> FolderScan:
        """A scan of a folder, not started; reads the disk, raises ServiceError."""
        try:
            return FolderScan(self._resolved(folder), exclude=exclude)
        except PatternError as error:
            raise InvalidArgument(f"exclude: {error}") from error
        except SourceError as error:
            raise FailedPrecondition(f"folder: {error}") from error

    async def run(self, job: Job) -> None:
        """Work until all is done; an image that fails is counted. Raises a ServiceError that ends the job, or may pass."""
        order = job.order
        scan = await asyncio.to_thread(lambda: self.scan(order.folder, order.exclude))
        try:
            uris = await _scanned(job, scan)
            pruning = None
            if order.prune or order.prune_empty:
                pruning = Pruning[ImageRecord](scan, uris, empty_ok=order.prune_empty)
            job.phase = JobPhase.INGESTING
            await self._ingest(job, _left(job, list(uris)))
            if pruning:
                job.phase = JobPhase.PRUNING
                await self._prune(job, pruning)
        except SourceError as error:
            raise FailedPrecondition(str(error)) from error

    def _resolved(self, folder: str) -> Path:
        try:
            path = self._roots.resolve(folder)
        except OutsideRootsError as error:
            listed = ", ".join(str(root) for root in self._roots.folders) or "none are configured"
            raise PermissionDenied(f"folder: {folder} is outside the image roots ({listed})") from error
        except MissingSourceError as error:
            raise NotFound(f"folder: there is no {folder}") from error
        except SourceError as error:
            raise InvalidArgument(f"folder: {error}") from error
        if not path.is_dir():
            raise InvalidArgument(f"folder: {folder} is a file; name the folder that holds it")
        return path

    async def _ingest(self, job: Job, uris: Sequence[str]) -> None:
        """Add images, and count them in their order, so that what is kept of the job always tells where to go on."""
        counted, finished, warnings = iter(uris), dict[str, IngestOutcome](), FilesByReason.of(job.warnings)
        head = next(counted, "")
        async with aclosing(self._outcomes(job.order.collection, [Item(uri, None, None) for uri in uris])) as outcomes:
            async for outcome in outcomes:
                finished[outcome.uri] = outcome
                while head in finished:
                    self._count(job, finished.pop(head), warnings)
                    job.last_uri, head = head, next(counted, "")

    def _count(self, job: Job, outcome: IngestOutcome, warnings: FilesByReason) -> None:
        """Count an image; raises what may pass, and then the job goes on with this image in a moment."""
        if isinstance(outcome, Added):
            self._failing_since_s.pop((job.id, outcome.uri), None)
            job.added_image(outcome.status, outcome.object_count)
            for warning in outcome.warnings:
                warnings.add(outcome.uri, warning)
                job.warnings = warnings.listed(MAX_NAMED)
            return
        key, now_s = (job.id, outcome.uri), time.monotonic()
        since_s = self._failing_since_s.setdefault(key, now_s)
        if isinstance(outcome.error, PASSING) and now_s - since_s < IMAGE_WAIT_S:
            raise outcome.error
        del self._failing_since_s[key]
        job.missed_image(outcome.uri, outcome.error)

    async def _outcomes(self, collection: str, items: Sequence[Item]) -> AsyncGenerator[IngestOutcome, None]:
        async def all_items() -> AsyncIterator[Item]:
            for item in items:
                yield item

        async with (
            self._ingester.stream(collection) as stream,
            aclosing(stream.outcomes(all_items())) as outcomes,
        ):
            async for outcome in outcomes:
                self._maintenance.note_outcome(collection, outcome)
                yield outcome

    async def _prune(self, job: Job, pruning: Pruning[ImageRecord]) -> None:
        """Copy metadata to where images moved, then delete the images whose files are gone.

        In this order, because a crash between the two then loses nothing.
        """
        collection = job.order.collection
        await pruning.find(lambda: self._stored(collection))
        moved = [Item(uri, None, old.metadata) for uri, old in pruning.metadata_from.items()]
        async with aclosing(self._outcomes(collection, moved)) as outcomes:
            failed = [outcome.uri async for outcome in outcomes if not isinstance(outcome, Added)]
        deletable = await asyncio.to_thread(lambda: pruning.deletable(failed=failed))
        for start in range(0, len(deletable), PAGE_SIZE):
            uris = deletable[start : start + PAGE_SIZE]
            deadline = Deadline.after(DELETE_TIMEOUT_S)
            deleted = await self._store.delete(collection, [image_id_of(uri) for uri in uris], deadline)
            self._maintenance.note_deleted(deleted.sha256s)
            job.pruned += deleted.image_count
            job.moved += len(pruning.moved.intersection(uris))

    async def _stored(self, collection: str) -> AsyncIterator[ImageRecord]:
        """Every image of the collection; one page is held at a time."""
        token = ""
        while True:
            records, token = await self._store.page(collection, page_size=PAGE_SIZE, page_token=token)
            for record in records:
                yield record
            if not token:
                return


async def _scanned(job: Job, scan: FolderScan) -> dict[str, None]:
    """The uris of all images in the folder, as an ordered set."""
    uris: dict[str, None] = {}
    found = iter(scan)
    job.phase, job.total = JobPhase.SCANNING, 0
    while batch := await asyncio.to_thread(lambda: list(islice(found, SCAN_BATCH))):
        uris.update(dict.fromkeys(batch))
        job.total = len(uris)
        if len(uris) > MAX_IMAGES:
            raise FailedPrecondition(f"the folder holds more than {MAX_IMAGES:,} images; ingest its subfolders")
    job.left_out = scan.left_out.listed(MAX_NAMED)
    return uris


def _left(job: Job, uris: list[str]) -> list[str]:
    """The images behind the last one that a run before counted; all of them where that one is gone."""
    position = uris.index(job.last_uri) + 1 if job.last_uri in uris else 0
    if not position:
        job.forget_images()
    left = uris[position:]
    job.total = job.done + job.failed + len(left)
    return left
