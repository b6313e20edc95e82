"""`fovea demo`: the system with photos and drawn scenes in it, and a few queries whose right answers are known."""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from cli.commands.search import show_response
from cli.commands.up import run_until_stopped, show_system, started
from cli.connections import CALL_TIMEOUT_S, MODES, Mode, create_collection, ingest_service, search_service
from cli.data_folder import RunningSystem
from cli.demo_albums import Album, DemoAlbums
from cli.demo_queries import PHOTO_OBJECTS, PHOTOS, SCENE_OBJECTS, SCENES, DemoQuery, demo_queries
from cli.errors import CommandFailed
from cli.file_ingest import send_files
from cli.options import SystemOptions, expand_options
from cli.output import console, note
from fovea.ingest.v1 import ingest_pb2
from rpc.errors import AlreadyExists

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: fovea demo --once")
@expand_options
def demo(
    *,
    once: Annotated[bool, typer.Option("--once", help="Stop after the answers; exit 1 if one is wrong.")] = False,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="The page's port; default: 8080, with --once a free one.")
    ] = None,
    options: SystemOptions,
) -> None:
    """Start everything, fill it with photos and drawn scenes, search them in a few ways and show the answers."""
    if port is None:
        port = 0 if once else 8080
    run_until_stopped(_demo(options, port=port, once=once))


async def _demo(options: SystemOptions, *, port: int, once: bool) -> None:
    started_s = time.monotonic()
    options = replace(options, root=[*options.roots, options.folder.path])
    with console(stderr=True).status("starting …") as status:
        async with started(options, port=port) as (system, supervisor):
            albums = DemoAlbums.copied(options.folder.demo)
            status.stop()
            show_system(system, supervisor, seconds=time.monotonic() - started_s)
            await _fill(system.ingest, albums)
            wrong = await _search(system.search, demo_queries(albums))
            note("")
            if once:
                if wrong:
                    raise CommandFailed(f"{wrong} answers are wrong")
                note("All answers are right.")
                return
            _invite(system, albums)
            await supervisor.until_cancelled()


async def _fill(address: str, albums: DemoAlbums) -> None:
    """Make the collections and ingest the albums; of the photos the default encoder and the default detector."""
    objects = MODES[Mode.OBJECTS]
    for album, collection in (
        (albums.photos, ingest_pb2.Collection(name=PHOTOS)),
        (albums.photos, ingest_pb2.Collection(name=PHOTO_OBJECTS, mode=objects)),
        (albums.scenes, ingest_pb2.Collection(name=SCENES, encoder="scene")),
        (
            albums.scenes,
            # It has learnt drawn objects too, and is several times as fast as the default one.
            ingest_pb2.Collection(name=SCENE_OBJECTS, mode=objects, encoder="general-2", detector="drawn-detector"),
        ),
    ):
        await _ingest(address, album, collection)


async def _ingest(address: str, album: Album, collection: ingest_pb2.Collection) -> None:
    files = [str(file) for file in album.files]
    async with ingest_service(address) as stub:
        # A demo before this one may have created it.
        with contextlib.suppress(AlreadyExists):
            await create_collection(stub, collection)
        report = await send_files(stub, collection.name, files, album.metadata)
    for failed in report.failed.values():
        raise CommandFailed(f"{failed.uri} could not be ingested: {failed.error}")
    without = f", no object in {report.without_objects}" if report.searched_for_objects else ""
    note(f"{collection.name}: {len(files)} images{without} ({report.rate:.0f} a second)")


async def _search(address: str, queries: Sequence[DemoQuery]) -> int:
    """Send each query and show its answer; how many answers were wrong."""
    wrong = 0
    async with search_service(address) as stub:
        for query in queries:
            response = await stub.Search(query.request, timeout=CALL_TIMEOUT_S)
            is_right = query.accepts([Path(hit.uri).name for hit in response.hits])
            wrong += not is_right
            console().print(f"\n{query.title}", style="bold", markup=False)
            show_response(response)
            console().print(f"{'right' if is_right else 'WRONG'}: {query.expected}", markup=False)
    return wrong


def _invite(system: RunningSystem, albums: DemoAlbums) -> None:
    out = console()
    out.print("\nTry it yourself, in the browser or in another terminal:", markup=False)
    out.print(f"  {system.gateway}", markup=False)
    out.print(f'  fovea search -c {PHOTOS} --text "a bird"', markup=False)
    out.print(f"  fovea search -c {PHOTOS} --sketch {albums.photos.folder / 'sketches' / 'cat.png'}", markup=False)
    out.print(f"  fovea search -c {PHOTO_OBJECTS} --image {albums.photos.files[0]} --detect", markup=False)
    out.print(f'  fovea search -c {SCENES} --text "a red car in front of a house"', markup=False)
    out.print("  fovea ingest ~/photos -c mine --create", markup=False)
