"""One folder on its way into a collection: sent once, compared with what is stored, then followed."""

import asyncio
import time
from collections.abc import Callable, Collection, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from google.protobuf.struct_pb2 import Struct
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cli.answers import console, note
from cli.ingestion import Outcome, ingested
from cli.sidecar import NO_SIDECAR, Sidecar
from cli.tally import Tally
from cli.watching import Watch
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

if TYPE_CHECKING:
    from fovea.ingest.v1 import ingest_pb2_grpc

_PERIOD_S = 1.0
_LONGEST_PERIOD_S = 10.0
_MAX_NOTES = 20
# A look may use a quarter of one core, however large the folder is.
_REST_FOR_A_LOOK = 3.0
# What waiting does not mend.
_FINAL = (FailedPrecondition, InvalidArgument, NotFound, PermissionDenied, Unimplemented)


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A folder and how it is to be taken; `prune_empty` deletes also when nothing is left in it."""

    path: str
    exclude: Sequence[str] = ()
    sidecar: Sidecar = NO_SIDECAR
    prune: bool = False
    prune_empty: bool = False
    copy: bool = False


@dataclass(slots=True)
class FolderIngest:
    """Fills a collection from a folder and counts what became of it."""

    stub: "ingest_pb2_grpc.IngestServiceAsyncStub"
    collection: str
    folder: Folder
    tally: Tally = field(default_factory=Tally)
    _is_following: bool = False
    _owes_prune: bool = False
    _said: str = ""

    async def take(self, scan: FolderScan, files: Mapping[str, None], watch: Watch | None = None) -> None:
        """Send what a finished scan gave, and prune when asked to."""
        self.tally.left_out = scan.left_out
        _note_some(self.folder.sidecar.unmatched(files))
        await self._send(files, watch)
        if self.folder.prune:
            await self._prune(self._pruning(scan, files))

    async def follow(self, watch: Watch) -> None:
        """Send what changes and prune what goes, until cancelled; a folder or a service that is away is waited for."""
        period_s, self._is_following = _PERIOD_S, True
        while True:
            await asyncio.sleep(period_s)
            try:
                with service_errors("ingest"):
                    looked_s = await self._step(watch)
                self._said, period_s = "", max(_PERIOD_S, _REST_FOR_A_LOOK * looked_s)
            except _FINAL:
                raise
            except (SourceError, ServiceError) as error:
                self._say(f"{error}; trying again")
                period_s = min(2 * period_s, _LONGEST_PERIOD_S)

    async def _step(self, watch: Watch) -> float:
        """Do what one look asks for; how long the look took."""
        began_s = time.monotonic()
        look = await asyncio.to_thread(watch.look)
        looked_s = time.monotonic() - began_s
        self._note_left_out(look.scan)
        self.tally.forget(look.gone)
        if look.settled:
            await self._send(look.settled, watch)
        if self.folder.prune and (look.gone or self._owes_prune):
            self._owes_prune = True
            pruning = self._pruning(look.scan, watch.sent)
            watch.forget(look.gone)
            await self._prune(pruning)
            self._owes_prune = False
        return looked_s

    def _note_left_out(self, scan: FolderScan) -> None:
        """Say what is left out where that is new."""
        found, before = scan.left_out.listed(), self.tally.left_out.listed()
        self.tally.left_out = scan.left_out
        for finding in found:
            if finding not in before:
                note(f"left out: {finding.count:,} {'file' if finding.count == 1 else 'files'}: {finding.reason}")

    def _say(self, text: str) -> None:
        """Say something that is seen again and again, once."""
        if text != self._said:
            note(text)
        self._said = text

    async def _send(self, files: Collection[str], watch: Watch | None) -> None:
        hears = [self.tally.add, watch.settle] if watch else [self.tally.add]
        self.tally.resume()
        passed = await send_all(
            self.stub, self.collection, files, self.folder.sidecar.metadata, keep=self.folder.copy, hears=hears
        )
        if self._is_following:
            note(passed.sentence())
            _note_some([f"{outcome.uri}: {outcome.error}" for outcome in passed.failures])

    def _pruning(self, scan: FolderScan, files: Container[str]) -> Pruning[ingest_pb2.Image]:
        return Pruning(scan, files, empty_ok=self.folder.prune_empty)

    async def _prune(self, pruning: Pruning[ingest_pb2.Image]) -> None:
        stored = StoredImages(self.stub, self.collection)
        await pruning.find(stored.all, described=self.folder.sidecar.metadata)
        inherited = {uri: old.metadata for uri, old in pruning.metadata_from.items()}
        outcomes = ingested(self.stub, self.collection, inherited, inherited, keep=self.folder.copy)
        failed = [outcome.uri async for outcome in outcomes if outcome.status == "failed"] if inherited else []
        deletable = await asyncio.to_thread(lambda: pruning.deletable(failed=failed))
        pruned, moved = await stored.delete(deletable), len(pruning.moved.intersection(deletable))
        self.tally.pruned += pruned
        self.tally.moved += moved
        if self._is_following and pruned:
            note(f"{pruned} pruned, {moved} of them moved")


async def send_all(
    stub: "ingest_pb2_grpc.IngestServiceAsyncStub",
    collection: str,
    files: Collection[str],
    metadata: Mapping[str, Struct],
    *,
    keep: bool = True,
    hears: Sequence[Callable[[Outcome], None]] = (),
) -> Tally:
    """Send files under a progress bar; those that hear are given each outcome."""
    tally = Tally()
    with _progress() as progress:
        task = progress.add_task(collection, total=len(files), rate=0.0)
        async for outcome in ingested(stub, collection, files, metadata, keep=keep):
            tally.add(outcome)
            for hear in hears:
                hear(outcome)
            progress.update(task, advance=1, rate=tally.rate)
    return tally


def _progress() -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.0f} images/s"),
        TimeRemainingColumn(),
    )
    out = console(stderr=True)
    return Progress(*columns, console=out, transient=True, disable=not out.is_terminal)


def _note_some(sentences: Sequence[str]) -> None:
    """Say the first of many sentences, and how many more there are."""
    for sentence in sentences[:_MAX_NOTES]:
        note(sentence)
    if len(sentences) > _MAX_NOTES:
        note(f"and {len(sentences) - _MAX_NOTES:,} more like these")
