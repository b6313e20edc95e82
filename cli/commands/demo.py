"""`fovea demo`: the system with a gallery in it, asked a few things whose answers are known."""

import asyncio
import importlib.util
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.answers import console, note
from cli.commands.search import show_response
from cli.commands.up import show_system
from cli.creation import Mode, create_collection
from cli.demo_questions import Gallery, Question, questions, read_gallery
from cli.failure import CommandFailed
from cli.folder_ingest import send_all
from cli.options import Data, EncoderPort, Milvus, Models, Redis, Roots, ServicePort, wanted
from cli.paths import default_roots
from cli.peers import CALL_TIMEOUT_S, ingest_service, search_service
from cli.running import Running
from cli.sidecar import read_sidecar
from cli.system import run, started
from cli.wiring import Wanted
from rpc.errors import AlreadyExists, service_errors

if TYPE_CHECKING:
    from fovea.ingest.v1 import ingest_pb2_grpc

EXAMPLE = "Example: fovea demo --once"

_ENCODER, _SCENE_ENCODER, _DETECTOR = "general", "scene", "detector"
_PICTURES = 60


def demo(
    *,
    once: Annotated[bool, typer.Option("--once", help="Stop after the answers; exit 1 if one is wrong.")] = False,
    data: Data = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="The page's port; default: 8080, with --once a free one.")
    ] = None,
    models: Models = None,
    root: Roots = None,
    milvus: Milvus = "",
    redis: Redis = "",
    search_port: ServicePort = 0,
    ingest_port: ServicePort = 0,
    encoder_port: EncoderPort = 0,
) -> None:
    """Start everything, fill it with drawn pictures, ask it a few things and show the answers."""
    if importlib.util.find_spec("training") is None:
        raise CommandFailed(
            "the demo's gallery is drawn by Fovea's training code, which an installed wheel does not hold: "
            "run `make demo` in a checkout"
        )
    asked = wanted(
        data=data,
        port=(0 if once else 8080) if port is None else port,
        search_port=search_port,
        ingest_port=ingest_port,
        encoder_port=encoder_port,
        models=models,
        roots=[*(root or default_roots()), *([data] if data else [])],
        milvus=milvus,
        redis=redis,
    )
    run(_demo(asked, once=once))


async def _demo(asked: Wanted, *, once: bool) -> None:
    started_s = time.monotonic()
    drawing = asyncio.create_task(_draw(asked.data.demo))
    with console(stderr=True).status("drawing pictures and starting …") as status:
        async with started(asked) as system:
            gallery = read_gallery(await drawing)
            status.stop()
            show_system(system, asked.data.logs, seconds=time.monotonic() - started_s)
            await _fill(system.running.ingest, gallery)
            wrong = await _ask(system.running.search, questions(gallery))
            note("")
            if once:
                if wrong:
                    raise CommandFailed(f"{wrong} answers are wrong")
                note("All answers are right.")
                return
            _invite(system.running, gallery)
            await system.until_stopped()


async def _draw(folder: Path) -> Path:
    """Draw the gallery, in a process of its own because drawing is no business of the command's."""
    argv = (sys.executable, "-P", "-m", "training.world.gallery", "--out", str(folder), "--count", str(_PICTURES))
    drawing = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, said = await drawing.communicate()
    if drawing.returncode:
        raise CommandFailed(f"the gallery cannot be drawn: {said.decode().strip().splitlines()[-1]}")
    return folder


@dataclass(frozen=True, slots=True)
class _Filled:
    """A collection of the demo; with a detector it compares objects."""

    name: str
    encoder: str
    detector: str = ""


async def _fill(address: str, gallery: Gallery) -> None:
    files = [str(file) for file in gallery.files]
    described = read_sidecar(gallery.sidecar).metadata
    async with ingest_service(address) as stub:
        for collection in (
            _Filled(gallery.collection, _ENCODER),
            _Filled(gallery.object_collection, _ENCODER, _DETECTOR),
            _Filled(gallery.scene_collection, _SCENE_ENCODER),
        ):
            await _see_to(stub, collection)
            tally = await send_all(stub, collection.name, files, described)
            for failed in tally.failures:
                raise CommandFailed(f"{failed.uri} could not be taken in: {failed.error}")
            note(f"{collection.name}: {len(files)} pictures ({tally.rate:.0f} a second)")


async def _see_to(stub: "ingest_pb2_grpc.IngestServiceAsyncStub", wanted: _Filled) -> None:
    """Create a collection unless a demo before this one did."""
    mode = Mode.OBJECTS if wanted.detector else Mode.WHOLE_IMAGE
    try:
        with service_errors("ingest"):
            await create_collection(stub, wanted.name, encoder=wanted.encoder, mode=mode, detector=wanted.detector)
    except AlreadyExists:
        return


async def _ask(address: str, asked: list[Question]) -> int:
    """Ask each question and show its answer; how many answers were wrong."""
    wrong = 0
    async with search_service(address) as stub:
        for question in asked:
            response = await stub.Search(question.request, timeout=CALL_TIMEOUT_S)
            is_right = question.is_right(response)
            wrong += not is_right
            console().print(f"\n{question.title}", style="bold", markup=False)
            show_response(response)
            console().print(f"{'right' if is_right else 'WRONG'}: {question.expected}", markup=False)
    return wrong


def _invite(running: Running, gallery: Gallery) -> None:
    out = console()
    out.print("\nTry it yourself, in the browser or in another terminal:", markup=False)
    out.print(f"  {running.gateway}", markup=False)
    out.print(f"  fovea search -c {gallery.collection} --image {gallery.files[0]}", markup=False)
    out.print(f'  fovea search -c {gallery.scene_collection} --text "a red car in front of a house"', markup=False)
    out.print(f"  fovea ingest ~/Pictures -c mine --create --encoder {_ENCODER}", markup=False)
