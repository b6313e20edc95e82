"""`fovea ingest`: a folder of images into a collection."""

import asyncio
import contextlib
from pathlib import Path
from typing import Annotated

import typer

from cli.connections import MODES, IngestStub, Mode, create_collection, get_collection, ingest_service
from cli.errors import CommandFailed, cancelled_by_signals
from cli.file_ingest import IngestReport
from cli.folder_ingest import FolderIngest, FolderOptions
from cli.folder_watch import FolderWatch
from cli.metadata_file import NO_METADATA, read_metadata_file
from cli.options import Collection, Data, Detector, IngestAddress, Json, ModeOption, ingest_address, parse_path
from cli.output import note, show_json
from fovea.ingest.v1 import ingest_pb2
from rpc.errors import AlreadyExists, NotFound
from sources.scan import FolderScan

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: fovea ingest ~/photos -c holidays --create")
def ingest(
    folder: Annotated[
        Path, typer.Argument(parser=parse_path, metavar="FOLDER", help="The folder; subfolders are read too.")
    ],
    *,
    collection: Collection,
    watch: Annotated[bool, typer.Option(help="Stay, and ingest what is added or changed.")] = False,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GLOB",
            help="Leave out these files or folders, in .gitignore's syntax, as a .foveaignore file does; may be repeated.",
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
    create: Annotated[bool, typer.Option(help="Create the collection if there is none.")] = False,
    encoder: Annotated[
        str,
        typer.Option(metavar="NAME", help="With --create: the bundle that encodes; default: the default one served."),
    ] = "",
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
    """Ingest a folder of images into a collection; unchanged images cost little."""
    options = FolderOptions(
        path=str(folder.expanduser().resolve()),
        exclude=exclude or (),
        metadata=read_metadata_file(metadata) if metadata else NO_METADATA,
        prune=prune or prune_empty,
        prune_empty=prune_empty,
        copy=copy,
    )
    described = ingest_pb2.Collection(name=collection, encoder=encoder, mode=MODES[mode], detector=detector)
    report = asyncio.run(_ingest(ingest_address(address, data), options, described, create=create, watch=watch))
    if as_json:
        show_json(report.as_json())
    else:
        report.show()
    if report.failed:
        raise typer.Exit(1)


async def _ingest(
    address: str, folder: FolderOptions, collection: ingest_pb2.Collection, *, create: bool, watch: bool
) -> IngestReport:
    scan = FolderScan(folder.path, exclude=folder.exclude, missing_ok=folder.prune_empty and not watch)
    files = dict.fromkeys(scan)
    if not files and not watch and not folder.prune_empty:
        raise CommandFailed(_nothing_in(scan, prune=folder.prune))
    for warning in folder.metadata.warnings:
        note(warning)
    async with ingest_service(address) as stub:
        await _require(stub, collection, create=create)
        work = FolderIngest(stub, collection.name, folder)
        watched = FolderWatch(folder.path, exclude=folder.exclude) if watch else None
        await work.send_all(scan, files, watched)
        if watched:
            # From here on the watch has the files.
            files.clear()
            note(f"Watching {folder.path}; Ctrl-C ends it.")
            with contextlib.suppress(asyncio.CancelledError), cancelled_by_signals():
                await work.follow(watched)
    return work.report


def _nothing_in(scan: FolderScan, *, prune: bool) -> str:
    """Why an ingest of a folder without images does nothing."""
    left_out = "; ".join(f"{group.count:,} left out: {group.reason}" for group in scan.left_out.listed())
    nothing = f"there are no images in {scan.folder}" + (f" ({left_out})" if left_out else "")
    hint = "; an unmounted disk looks the same, so nothing is pruned without --prune-empty"
    return nothing + hint if prune else nothing


async def _require(stub: IngestStub, collection: ingest_pb2.Collection, *, create: bool) -> None:
    """Make sure that the collection exists; only --create creates it."""
    if create:
        with contextlib.suppress(AlreadyExists):
            created = await create_collection(stub, collection)
            if not collection.encoder:
                note(f"Created {created.name} with the default encoder, {created.encoder}.")
        return
    try:
        await get_collection(stub, collection.name)
    except NotFound as error:
        raise CommandFailed(
            f"there is no collection {collection.name}: create it with "
            f"`fovea collections create {collection.name}`, or add --create"
        ) from error
