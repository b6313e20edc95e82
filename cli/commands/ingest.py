"""`fovea ingest`: a folder of pictures into a collection."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from google.protobuf.struct_pb2 import Struct
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cli.answers import console, note, show, show_json
from cli.creation import Detector, Mode, ModeOption, create_collection
from cli.failure import CommandFailed
from cli.ingestion import Outcome, ingested, read_metadata
from cli.interruption import stopped_by_signals
from cli.options import Collection, Data, IngestAddress, Json, ingest_address
from cli.peers import CALL_TIMEOUT_S, ingest_service
from cli.watching import settled_changes
from fovea.ingest.v1 import ingest_pb2
from rpc.errors import AlreadyExists, NotFound, service_errors
from sources.scan import scan_folder

if TYPE_CHECKING:
    from fovea.ingest.v1 import ingest_pb2_grpc

EXAMPLE = "Example: fovea ingest ~/Pictures -c holidays --create --encoder general"


@dataclass(slots=True)
class Tally:
    """What became of the files so far."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[Outcome] = field(default_factory=list)
    started_s: float = field(default_factory=time.monotonic)

    def add(self, outcome: Outcome) -> None:
        """Count one more file."""
        self.counts[outcome.status] += 1
        if outcome.status == "failed":
            self.failures.append(outcome)

    @property
    def rate(self) -> float:
        """Files a second."""
        return self.counts.total() / max(time.monotonic() - self.started_s, 1e-3)

    def summary(self) -> dict[str, Any]:
        """The counts, the rate and each failure."""
        counts = {status: self.counts[status] for status in ("added", "updated", "unchanged", "failed")}
        failures = [{"uri": outcome.uri, "error": outcome.error} for outcome in self.failures]
        return {**counts, "rate_per_s": round(self.rate, 1), "failures": failures}


@dataclass(frozen=True, slots=True)
class NewCollection:
    """The collection to create where there is none."""

    encoder: str
    mode: Mode
    detector: str


def ingest(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder; subfolders are read too.")],
    *,
    collection: Collection,
    watch: Annotated[bool, typer.Option(help="Stay, and take in what is added or changed.")] = False,
    create: Annotated[bool, typer.Option(help="Create the collection if there is none; needs --encoder.")] = False,
    encoder: Annotated[str, typer.Option(metavar="NAME", help="With --create: the bundle that embeds.")] = "",
    mode: ModeOption = Mode.WHOLE_IMAGE,
    detector: Detector = "",
    metadata: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help='JSON lines {"file": name, "metadata": {…}}, names as seen from this file.'),
    ] = None,
    data: Data = None,
    address: IngestAddress = "",
    as_json: Json = False,
) -> None:
    """Take a folder of pictures into a collection; what is there already costs little."""
    if create and not encoder:
        raise CommandFailed("--create needs --encoder NAME; `fovea models list` shows the names")
    folder = folder.expanduser().resolve()
    files = list(scan_folder(folder))
    if not files and not watch:
        raise CommandFailed(f"there are no pictures in {folder}")
    described = read_metadata(metadata) if metadata else {}
    new = NewCollection(encoder, mode, detector) if create else None
    work = _ingest(ingest_address(address, data), collection, folder, files, described, new=new, watch=watch)
    tally = asyncio.run(work)
    _answer(tally, as_json=as_json)
    if tally.failures:
        raise typer.Exit(1)


async def _ingest(
    address: str,
    collection: str,
    folder: Path,
    files: Sequence[Path],
    described: Mapping[Path, Struct],
    *,
    new: NewCollection | None,
    watch: bool,
) -> Tally:
    async with ingest_service(address) as stub:
        await _require(stub, collection, new)
        tally = await send_all(stub, collection, files, described)
        if watch:
            note(f"Watching {folder}; Ctrl-C ends it.")
            with contextlib.suppress(asyncio.CancelledError), stopped_by_signals():
                await _follow(stub, collection, folder, files, described)
    return tally


async def _follow(
    stub: "ingest_pb2_grpc.IngestServiceAsyncStub",
    collection: str,
    folder: Path,
    known: Sequence[Path],
    described: Mapping[Path, Struct],
) -> None:
    """Send what is added or changed, until cancelled."""
    async for changed in settled_changes(folder, known):
        tally = await send_all(stub, collection, changed, described)
        note(_sentence(tally))
        for outcome in tally.failures:
            note(f"{outcome.uri}: {outcome.error}")


async def send_all(
    stub: "ingest_pb2_grpc.IngestServiceAsyncStub",
    collection: str,
    files: Sequence[Path],
    described: Mapping[Path, Struct],
) -> Tally:
    """Send files under a progress bar."""
    tally = Tally()
    with _progress() as progress:
        task = progress.add_task(collection, total=len(files), rate=0.0)
        async for outcome in ingested(stub, collection, files, described):
            tally.add(outcome)
            progress.update(task, advance=1, rate=tally.rate)
    return tally


def _progress() -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.0f} pictures/s"),
        TimeRemainingColumn(),
    )
    out = console(stderr=True)
    return Progress(*columns, console=out, transient=True, disable=not out.is_terminal)


async def _require(stub: "ingest_pb2_grpc.IngestServiceAsyncStub", collection: str, new: NewCollection | None) -> None:
    """See that the collection is there, creating it only when asked to."""
    try:
        with service_errors("ingest"):
            if new:
                await create_collection(stub, collection, encoder=new.encoder, mode=new.mode, detector=new.detector)
            else:
                await stub.GetCollection(ingest_pb2.GetCollectionRequest(name=collection), timeout=CALL_TIMEOUT_S)
    except AlreadyExists:
        return
    except NotFound as error:
        if new:
            raise
        raise CommandFailed(
            f"there is no collection {collection}: create it with "
            f"`fovea collections create {collection} --encoder NAME`, or add --create --encoder NAME"
        ) from error


def _answer(tally: Tally, *, as_json: bool) -> None:
    if as_json:
        show_json(tally.summary())
        return
    console().print(_sentence(tally), markup=False)
    if tally.failures:
        rows = [{"failed": outcome.uri, "why": outcome.error} for outcome in tally.failures]
        show(rows, as_json=False)


def _sentence(tally: Tally) -> str:
    counts = ", ".join(f"{count} {status}" for status, count in sorted(tally.counts.items())) or "nothing to do"
    return f"{counts} ({tally.rate:.0f} pictures/s)"
