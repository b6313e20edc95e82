"""`fovea ingest`: folders and files of images into a collection."""

import asyncio
import contextlib
from pathlib import Path
from typing import Annotated

import typer

from cli.connections import MODES, IngestStub, Mode, create_collection, get_collection, ingest_service
from cli.dry_run import dry_run
from cli.errors import CommandFailed, cancelled_by_signals
from cli.file_ingest import IngestReport
from cli.folder_ingest import FolderIngest, FolderOptions
from cli.folder_watch import FolderWatch
from cli.ingest_sources import IngestSources
from cli.metadata_file import NO_METADATA, read_metadata_file
from cli.options import (
    Collection,
    Data,
    Detector,
    IngestAddress,
    Json,
    ModeOption,
    full_path,
    ingest_address,
    parse_path,
)
from cli.output import note, show_json
from fovea.ingest.v1 import ingest_pb2
from rpc.errors import AlreadyExists, NotFound

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: fovea ingest ~/photos -c holidays --create")
def ingest(
    paths: Annotated[
        list[Path],
        typer.Argument(
            parser=parse_path, metavar="PATH...", help="Folders, which are read with their subfolders, and image files."
        ),
    ],
    *,
    collection: Collection,
    watch: Annotated[bool, typer.Option(help="Stay, and ingest what is added to the folder or changed in it.")] = False,
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
    dry: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done, by a comparison with what is stored.")
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
    """Ingest folders and files of images into a collection; unchanged images cost little, so it may be run again."""
    options = FolderOptions(
        exclude=exclude or (),
        metadata=read_metadata_file(metadata) if metadata else NO_METADATA,
        prune=prune or prune_empty,
        prune_empty=prune_empty,
        copy=copy,
    )
    described = ingest_pb2.Collection(name=collection, encoder=encoder, mode=MODES[mode], detector=detector)
    named = [str(_full_name(path)) for path in paths]
    if watch and (dry or len(named) > 1 or Path(named[0]).is_file()):
        raise CommandFailed("--watch follows one folder: name a single one, without --dry-run")
    sources = IngestSources.found_at(named, exclude=options.exclude, missing_ok=options.prune_empty and not watch)
    if not watch and not options.prune_empty:
        sources.require_images(prune=options.prune)
    service = ingest_address(address, data)
    if dry:
        report = asyncio.run(_dry_run(service, options, sources, collection, create=create))
    else:
        watched = FolderWatch(named[0], exclude=options.exclude) if watch else None
        report = asyncio.run(_ingest(service, options, sources, described, watched, create=create))
    if as_json:
        show_json(report.as_json())
    else:
        report.show()
    if report.failed:
        raise typer.Exit(1)


def _full_name(path: Path) -> Path:
    """The path under which a scan would find a file: of links only those to folders are resolved."""
    path = path.expanduser()
    return full_path(path.parent) / path.name if path.is_file() else full_path(path)


async def _ingest(
    address: str,
    options: FolderOptions,
    sources: IngestSources,
    collection: ingest_pb2.Collection,
    watched: FolderWatch | None,
    *,
    create: bool,
) -> IngestReport:
    for warning in options.metadata.warnings:
        note(warning)
    async with ingest_service(address) as stub:
        await _require(stub, collection, create=create)
        work = FolderIngest(stub, collection.name, options)
        await work.send_all(sources, watched)
        if watched:
            # From here on the watch has the files.
            sources.files.clear()
            note(f"Watching {sources.scans[0].folder}; Ctrl-C ends it.")
            with contextlib.suppress(asyncio.CancelledError), cancelled_by_signals():
                await work.follow(watched)
    return work.report


async def _dry_run(
    address: str, options: FolderOptions, sources: IngestSources, collection: str, *, create: bool
) -> IngestReport:
    async with ingest_service(address) as stub:
        return await dry_run(stub, collection, sources, options, create=create)


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
