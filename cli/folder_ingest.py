"""Folders and files on their way into a collection: sent once, compared with what is stored; one folder may be followed."""

import asyncio
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from cli.connections import IngestStub
from cli.file_ingest import IngestReport, ingest_files, send_files
from cli.folder_watch import FolderWatch
from cli.ingest_sources import IngestSources
from cli.metadata_file import NO_METADATA, MetadataFile
from cli.output import note
from fovea.ingest.v1 import ingest_pb2
from rpc.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ServiceError,
    Unimplemented,
    service_errors,
)
from rpc.stored_images import StoredImages
from sources.errors import SourceError
from sources.pruning import Pruning
from sources.scan import FolderScan

_PERIOD_S = 1.0
_LONGEST_PERIOD_S = 10.0
_MAX_NOTES = 20
# A look may use a quarter of one core, however large the folder is.
_REST_FOR_A_LOOK = 3.0
# Errors that another attempt does not change.
_FINAL = (FailedPrecondition, InvalidArgument, NotFound, PermissionDenied, Unimplemented)


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderOptions:
    """How folders and files are ingested; `prune_empty` deletes also when no image is left in a folder."""

    exclude: Sequence[str] = ()
    metadata: MetadataFile = NO_METADATA
    prune: bool = False
    prune_empty: bool = False
    copy: bool = False


@dataclass(slots=True)
class FolderIngest:
    """Fills a collection from folders and files, and reports what became of them."""

    stub: IngestStub
    collection: str
    folder: FolderOptions
    report: IngestReport = field(default_factory=IngestReport)
    _is_following: bool = False
    _has_pending_prune: bool = False
    _last_error: str = ""

    async def send_all(self, sources: IngestSources, watch: FolderWatch | None = None) -> None:
        """Send all files, and prune folders where that is an option."""
        self.report.left_out = sources.left_out
        _note_some(self.folder.metadata.unmatched(sources.files))
        await self._send(sources.files, watch)
        for scan in sources.scans if self.folder.prune else ():
            await self._prune(Pruning(scan, sources.files, empty_ok=self.folder.prune_empty))

    async def follow(self, watch: FolderWatch) -> None:
        """Send what changes and prune what goes, until cancelled; waits for a folder or a service that is away."""
        period_s, self._is_following = _PERIOD_S, True
        while True:
            await asyncio.sleep(period_s)
            try:
                with service_errors("ingest"):
                    looked_s = await self._follow_once(watch)
                self._last_error, period_s = "", max(_PERIOD_S, _REST_FOR_A_LOOK * looked_s)
            except _FINAL:
                raise
            except (SourceError, ServiceError) as error:
                # The same error comes again and again while the folder or the service is away.
                if str(error) != self._last_error:
                    note(f"{error}; trying again")
                self._last_error = str(error)
                period_s = min(2 * period_s, _LONGEST_PERIOD_S)

    async def _follow_once(self, watch: FolderWatch) -> float:
        """Do what one look asks for; how long the look took."""
        began_s = time.monotonic()
        look = await asyncio.to_thread(watch.look)
        looked_s = time.monotonic() - began_s
        self._note_left_out(look.scan)
        self.report.forget(look.removed)
        if look.settled:
            await self._send(look.settled, watch)
        # A prune that failed is still pending after the watch has forgotten what was removed.
        if self.folder.prune and (look.removed or self._has_pending_prune):
            self._has_pending_prune = True
            pruning = Pruning[ingest_pb2.Image](look.scan, watch.sent, empty_ok=self.folder.prune_empty)
            watch.forget(look.removed)
            await self._prune(pruning)
            self._has_pending_prune = False
        return looked_s

    def _note_left_out(self, scan: FolderScan) -> None:
        """Say what is left out where that is new."""
        found, before = scan.left_out.listed(), self.report.left_out.listed()
        self.report.left_out = scan.left_out
        for group in found:
            if group not in before:
                note(f"left out: {group.count:,} {'file' if group.count == 1 else 'files'}: {group.reason}")

    async def _send(self, files: Collection[str], watch: FolderWatch | None) -> None:
        listeners = [self.report.add, watch.settle] if watch else [self.report.add]
        metadata, keep = self.folder.metadata.by_path, self.folder.copy
        self.report.resume()
        sent = await send_files(self.stub, self.collection, files, metadata, keep=keep, listeners=listeners)
        if self._is_following:
            note(sent.summary())
            _note_some([f"{outcome.uri}: {outcome.error}" for outcome in sent.failed.values()])

    async def _prune(self, pruning: Pruning[ingest_pb2.Image]) -> None:
        stored = StoredImages(self.stub, self.collection)
        await pruning.find(stored.all, described=self.folder.metadata.by_path)
        # Moved images inherit their metadata first: an image whose heir failed is not deleted.
        inherited = {uri: old.metadata for uri, old in pruning.metadata_from.items()}
        outcomes = ingest_files(self.stub, self.collection, inherited, inherited, keep=self.folder.copy)
        failed = [outcome.uri async for outcome in outcomes if outcome.status == "failed"] if inherited else []
        deletable = await asyncio.to_thread(lambda: pruning.deletable(failed=failed))
        pruned, moved = await stored.delete(deletable), len(pruning.moved.intersection(deletable))
        self.report.pruned += pruned
        self.report.moved += moved
        if self._is_following and pruned:
            note(f"{pruned} pruned, {moved} of them moved")


def _note_some(sentences: Sequence[str]) -> None:
    """Say the first of many sentences, and how many more there are."""
    for sentence in sentences[:_MAX_NOTES]:
        note(sentence)
    if len(sentences) > _MAX_NOTES:
        note(f"and {len(sentences) - _MAX_NOTES:,} more like these")
