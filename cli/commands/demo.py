"""`fovea demo`: the system with a gallery in it, and a few queries whose right answers are known."""

import contextlib
import io
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from google.protobuf.struct_pb2 import Struct
from PIL import Image

from cli.commands.search import show_response
from cli.commands.up import run_until_stopped, show_system, started
from cli.connections import CALL_TIMEOUT_S, MODES, Mode, create_collection, ingest_service, search_service
from cli.data_folder import RunningSystem
from cli.errors import CommandFailed
from cli.file_ingest import send_files
from cli.options import SystemOptions, expand_options
from cli.output import console, note
from domain.box import Box
from fovea.ingest.v1 import ingest_pb2
from fovea.search.v1 import search_pb2
from rpc.errors import AlreadyExists
from rpc.metadata import struct_of_json

EXAMPLE = "Example: fovea demo --once"

_ENCODER = "general"
_COLLECTION, _OBJECTS, _SCENES = "demo", "demo_objects", "demo_scenes"
# Drawn images with their truth; `python -m world.gallery --out cli/gallery` draws them again.
_GALLERY = Path(__file__).parents[1] / "gallery"
_LIMIT = 3
# The image of the gallery that is searched for by words and a sketch.
_DESCRIBED = 9


@dataclass(frozen=True, slots=True)
class Gallery:
    """Drawn images and their truth, line by line as they were written: file, metadata, objects, sentence, sketch."""

    folder: Path
    truth: Sequence[Mapping[str, Any]]

    @property
    def files(self) -> list[Path]:
        """The images, in their order."""
        return [self.folder / entry["file"] for entry in self.truth]

    @property
    def metadata(self) -> dict[str, Struct]:
        """What is known of them, by path."""
        return {
            str(file): struct_of_json(entry["metadata"]) for file, entry in zip(self.files, self.truth, strict=True)
        }


@dataclass(frozen=True, slots=True)
class DemoQuery:
    """A query, and what a right answer is, in words and as a test of the names of the hits."""

    title: str
    request: search_pb2.SearchRequest
    expected: str
    accepts: Callable[[list[str]], bool]


@expand_options
def demo(
    *,
    once: Annotated[bool, typer.Option("--once", help="Stop after the answers; exit 1 if one is wrong.")] = False,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="The page's port; default: 8080, with --once a free one.")
    ] = None,
    options: SystemOptions,
) -> None:
    """Start everything, fill it with drawn images, search them in a few ways and show the answers."""
    if port is None:
        port = 0 if once else 8080
    run_until_stopped(_demo(options, port=port, once=once))


async def _demo(options: SystemOptions, *, port: int, once: bool) -> None:
    started_s = time.monotonic()
    options = replace(options, root=[*options.roots, options.folder.path])
    with console(stderr=True).status("starting …") as status:
        async with started(options, port=port) as (system, supervisor):
            # Copied, because hits are shown and opened from the data folder.
            shutil.copytree(_GALLERY, options.folder.demo, dirs_exist_ok=True)
            gallery = _read_gallery(options.folder.demo)
            status.stop()
            show_system(system, supervisor, seconds=time.monotonic() - started_s)
            await _fill(system.ingest, gallery)
            wrong = await _search(system.search, _queries(gallery))
            note("")
            if once:
                if wrong:
                    raise CommandFailed(f"{wrong} answers are wrong")
                note("All answers are right.")
                return
            _invite(system, gallery)
            await supervisor.until_cancelled()


async def _fill(address: str, gallery: Gallery) -> None:
    files = [str(file) for file in gallery.files]
    whole, objects = MODES[Mode.WHOLE_IMAGE], MODES[Mode.OBJECTS]
    async with ingest_service(address) as stub:
        for collection in (
            ingest_pb2.Collection(name=_COLLECTION, encoder=_ENCODER, mode=whole),
            ingest_pb2.Collection(name=_OBJECTS, encoder=_ENCODER, mode=objects, detector="detector"),
            ingest_pb2.Collection(name=_SCENES, encoder="scene", mode=whole),
        ):
            # A demo before this one may have created it.
            with contextlib.suppress(AlreadyExists):
                await create_collection(stub, collection)
            report = await send_files(stub, collection.name, files, gallery.metadata)
            for failed in report.failed.values():
                raise CommandFailed(f"{failed.uri} could not be ingested: {failed.error}")
            note(f"{collection.name}: {len(files)} images ({report.rate:.0f} a second)")


async def _search(address: str, queries: list[DemoQuery]) -> int:
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


def _invite(system: RunningSystem, gallery: Gallery) -> None:
    out = console()
    out.print("\nTry it yourself, in the browser or in another terminal:", markup=False)
    out.print(f"  {system.gateway}", markup=False)
    out.print(f"  fovea search -c {_COLLECTION} --image {gallery.files[0]}", markup=False)
    out.print(f'  fovea search -c {_SCENES} --text "a red car in front of a house"', markup=False)
    out.print("  fovea ingest ~/photos -c mine --create", markup=False)


def _read_gallery(folder: Path) -> Gallery:
    """The gallery that was drawn into a folder."""
    lines = (folder / "gallery.jsonl").read_text().splitlines()
    return Gallery(folder.resolve(), [json.loads(line) for line in lines])


def _queries(gallery: Gallery) -> list[DemoQuery]:
    """By image, by object, with a filter, mixed of two images, and by words and a sketch."""
    files, described = gallery.files, gallery.truth[_DESCRIBED]
    nights = {entry["file"] for entry in gallery.truth if entry["metadata"]["time"] == "night"}
    owner, largest = _largest_object(gallery)
    mixed = files[0], files[4]
    return [
        DemoQuery(
            f"By image: a small, blurred copy of {files[2].name}",
            _request(_COLLECTION, _image(files[2], _smaller)),
            *_comes_first(files[2].name),
        ),
        DemoQuery(
            f"By object: the {largest['label']} cut out of {owner.name}",
            _request(_OBJECTS, _image(owner, lambda image: _crop(image, largest["box"]))),
            *_comes_first(owner.name),
        ),
        DemoQuery(
            f"With a filter: like {files[2].name}, but at night",
            _request(_COLLECTION, search_pb2.QueryPart(image=files[2].read_bytes()), where='time = "night"'),
            "all images are of the night",
            lambda names: len(names) == _LIMIT and nights.issuperset(names),
        ),
        DemoQuery(
            f"Mixed: between {files[0].name} and {files[4].name}",
            _request(_COLLECTION, *(_image(file, _smaller) for file in mixed)),
            "both are among the first three",
            lambda names: {file.name for file in mixed} <= set(names),
        ),
        DemoQuery(
            f"By words and a sketch: “{described['sentence']}” and {described['sketch']}",
            _request(
                _SCENES,
                search_pb2.QueryPart(text=described["sentence"]),
                search_pb2.QueryPart(sketch=(gallery.folder / described["sketch"]).read_bytes()),
            ),
            *_comes_first(described["file"]),
        ),
    ]


def _comes_first(name: str) -> tuple[str, Callable[[list[str]], bool]]:
    return f"{name} comes first", lambda names: names[:1] == [name]


def _largest_object(gallery: Gallery) -> tuple[Path, Mapping[str, Any]]:
    def area(found: tuple[Path, Mapping[str, Any]]) -> float:
        x_min, y_min, x_max, y_max = found[1]["box"]
        return float((x_max - x_min) * (y_max - y_min))

    entries = zip(gallery.files, gallery.truth, strict=True)
    return max(((file, item) for file, entry in entries for item in entry["objects"]), key=area)


def _request(collection: str, *parts: search_pb2.QueryPart, where: str = "") -> search_pb2.SearchRequest:
    return search_pb2.SearchRequest(collection=collection, parts=parts, limit=_LIMIT, filter=where)


def _smaller(image: Image.Image) -> Image.Image:
    return image.reduce(3)


def _crop(image: Image.Image, box: Box) -> Image.Image:
    width, height = image.size
    x_min, y_min, x_max, y_max = box
    return image.crop((round(x_min * width), round(y_min * height), round(x_max * width), round(y_max * height)))


def _image(file: Path, change: Callable[[Image.Image], Image.Image]) -> search_pb2.QueryPart:
    with Image.open(file) as image, io.BytesIO() as buffer:
        change(image).save(buffer, "JPEG", quality=80)
        return search_pb2.QueryPart(image=buffer.getvalue())
