"""`fovea ingest`: a folder of images into a collection."""

import asyncio
import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.answers import note, show_json
from cli.creation import Detector, Mode, ModeOption, create_collection
from cli.failure import CommandFailed
from cli.folder_ingest import Folder, FolderIngest
from cli.interruption import stopped_by_signals
from cli.options import Collection, Data, IngestAddress, Json, ingest_address
from cli.paths import named
from cli.peers import CALL_TIMEOUT_S, ingest_service
from cli.sidecar import NO_SIDECAR, read_sidecar
from cli.tally import Tally
from cli.watching import Watch
from fovea.ingest.v1 import ingest_pb2
from rpc.errors import AlreadyExists, NotFound, service_errors
from sources.scan import FolderScan

if TYPE_CHECKING:
    from fovea.ingest.v1 import ingest_pb2_grpc

EXAMPLE = "Example: fovea ingest ~/Pictures -c holidays --create --encoder general"


@dataclass(frozen=True, slots=True)
class NewCollection:
    """The collection to create where there is none."""

    encoder: str
    mode: Mode
    detector: str


def ingest(
    folder: Annotated[
        Path, typer.Argument(parser=named, metavar="FOLDER", help="The folder; subfolders are read too.")
    ],
    *,
    collection: Collection,
    watch: Annotated[bool, typer.Option(help="Stay, and take in what is added or changed.")] = False,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GLOB",
            help="Pass these files or folders over, in .gitignore's syntax, as a .foveaignore file does; may be repeated.",
        ),
    ] = None,
    prune: Annotated[
        bool,
        typer.Option(
            help="Delete from the collection what is no longer in the folder; files that moved keep their metadata."
        ),
    ] = False,
    prune_empty: Annotated[
        bool, typer.Option("--prune-empty", help="Prune even if the folder is empty or away, as an unmounted disk is.")
    ] = False,
    copy: Annotated[
        bool, typer.Option("--copy", help="Copy images that lie outside the image roots into the data folder.")
    ] = False,
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
    """Take a folder of images into a collection; what is there already costs little."""
    if create and not encoder:
        raise CommandFailed("--create needs --encoder NAME; `fovea models list` shows the names")
    asked = Folder(
        path=str(folder.expanduser().resolve()),
        exclude=exclude or (),
        sidecar=read_sidecar(metadata) if metadata else NO_SIDECAR,
        prune=prune or prune_empty,
        prune_empty=prune_empty,
        copy=copy,
    )
    new = NewCollection(encoder, mode, detector) if create else None
    tally = asyncio.run(_ingest(ingest_address(address, data), collection, asked, new=new, watch=watch))
    if as_json:
        show_json(tally.summary())
    else:
        tally.show()
    if tally.failed:
        raise typer.Exit(1)


async def _ingest(address: str, collection: str, folder: Folder, *, new: NewCollection | None, watch: bool) -> Tally:
    scan = FolderScan(folder.path, exclude=folder.exclude, missing_ok=folder.prune_empty and not watch)
    files = dict.fromkeys(scan)
    if not files and not watch and not folder.prune_empty:
        raise CommandFailed(_nothing_in(scan, prune=folder.prune))
    for warning in folder.sidecar.warnings:
        note(warning)
    async with ingest_service(address) as stub:
        await _require(stub, collection, new)
        work = FolderIngest(stub, collection, folder)
        watched = Watch(folder.path, exclude=folder.exclude) if watch else None
        await work.take(scan, files, watched)
        if watched:
            # What is known of the files is in the watch from here on.
            files.clear()
            note(f"Watching {folder.path}; Ctrl-C ends it.")
            with contextlib.suppress(asyncio.CancelledError), stopped_by_signals():
                await work.follow(watched)
    return work.tally


def _nothing_in(scan: FolderScan, *, prune: bool) -> str:
    """Why an ingest of a folder without images does nothing."""
    left_out = "; ".join(f"{finding.count:,} left out: {finding.reason}" for finding in scan.left_out.listed())
    told = f"there are no images in {scan.folder}" + (f" ({left_out})" if left_out else "")
    return f"{told}; an unmounted disk looks the same, so nothing is pruned without --prune-empty" if prune else told


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
