"""`fovea collections`: list, create, show, update and delete."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

import typer

from cli.connections import CALL_TIMEOUT_S, MODES, IngestStub, Mode, create_collection, get_collection, ingest_service
from cli.errors import CommandFailed
from cli.options import Data, Detector, IngestAddress, Json, ModeOption, Wide, ingest_address
from cli.output import as_dict, note, show_fitting, show_json, show_record
from fovea.ingest.v1 import ingest_pb2

_Response = TypeVar("_Response")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The collection.")]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="List, create, show, rename and delete collections.",
    epilog="Example: fovea collections list",
)


@app.command("list", epilog="Example: fovea collections list --json")
def list_all(*, wide: Wide = False, data: Data = None, ingest: IngestAddress = "", as_json: Json = False) -> None:
    """List all collections with their counts."""
    request = ingest_pb2.ListCollectionsRequest()
    response = _call(ingest_address(ingest, data), lambda stub: stub.ListCollections(request, timeout=CALL_TIMEOUT_S))
    show_fitting(
        [_row(collection, as_json=as_json) for collection in response.collections],
        wide=wide,
        as_json=as_json,
        empty="There is no collection yet: create one with `fovea collections create NAME`.",
    )
    if not as_json:
        _suggest(response.collections)
        for warning in response.warnings:
            note(warning)


@app.command(epilog="Example: fovea collections create holidays --encoder general --mode objects")
def create(
    name: Name,
    *,
    encoder: Annotated[
        str, typer.Option(metavar="NAME", help="The bundle that encodes the images; default: the default one served.")
    ] = "",
    mode: ModeOption = Mode.WHOLE_IMAGE,
    detector: Detector = "",
    index: Annotated[str, typer.Option(metavar="TYPE", help="FLAT, HNSW, …; default: chosen by size.")] = "",
    display_name: Annotated[str, typer.Option(metavar="TEXT", help="What people call it; default: its name.")] = "",
    data: Data = None,
    ingest: IngestAddress = "",
    as_json: Json = False,
) -> None:
    """Create an empty collection."""
    described = ingest_pb2.Collection(
        name=name,
        encoder=encoder,
        mode=MODES[mode],
        detector=detector,
        index=index,
        display_name=display_name,
    )
    created = _call(ingest_address(ingest, data), lambda stub: create_collection(stub, described))
    show_record(_row(created, as_json=as_json), as_json=as_json)


@app.command("show", epilog="Example: fovea collections show holidays")
def show_one(name: Name, *, data: Data = None, ingest: IngestAddress = "", as_json: Json = False) -> None:
    """Show one collection."""
    collection = _call(ingest_address(ingest, data), lambda stub: get_collection(stub, name))
    show_record(_row(collection, as_json=as_json), as_json=as_json)
    if not as_json:
        _suggest([collection])


@app.command(epilog="Example: fovea collections update holidays --name italy --display-name 'Italy 2024'")
def update(
    name: Name,
    *,
    new_name: Annotated[str, typer.Option("--name", metavar="NAME", help="The new name; default: the same.")] = "",
    display_name: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What people call it; empty removes it. Default: the same.")
    ] = None,
    data: Data = None,
    ingest: IngestAddress = "",
    as_json: Json = False,
) -> None:
    """Change the name or the display name; the former name finds the collection until another one has it."""
    request = ingest_pb2.UpdateCollectionRequest(name=name, new_name=new_name, display_name=display_name)
    response = _call(ingest_address(ingest, data), lambda stub: stub.UpdateCollection(request, timeout=CALL_TIMEOUT_S))
    show_record(_row(response.collection, as_json=as_json), as_json=as_json)


@app.command(epilog="Example: fovea collections delete holidays --yes")
def delete(
    name: Name,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    data: Data = None,
    ingest: IngestAddress = "",
    as_json: Json = False,
) -> None:
    """Delete a collection and everything in it; the image files stay."""
    address = ingest_address(ingest, data)
    count = _call(address, lambda stub: get_collection(stub, name)).image_count
    if not yes:
        if not sys.stdin.isatty():
            raise CommandFailed(f"deleting {name} needs --yes where nobody can be asked")
        typer.confirm(f"Delete {name} with {count} images?", abort=True)
    request = ingest_pb2.DeleteCollectionRequest(name=name)
    _call(address, lambda stub: stub.DeleteCollection(request, timeout=CALL_TIMEOUT_S))
    if as_json:
        show_json({"deleted": name, "image_count": count})
    else:
        note(f"Deleted {name} with {count} images; the files are where they were.")


def _call(address: str, call: Callable[[IngestStub], Awaitable[_Response]]) -> _Response:
    """Connect to the ingest service, and call it once."""

    async def connected() -> _Response:
        async with ingest_service(address) as stub:
            return await call(stub)

    return asyncio.run(connected())


def _row(collection: ingest_pb2.Collection, *, as_json: bool) -> Mapping[str, Any]:
    """The fields under the contract's names, the most asked for first; a table shows unknown counts only."""
    is_of_objects = collection.mode == ingest_pb2.COLLECTION_MODE_OBJECTS
    first = {
        "name": collection.name,
        "encoder": collection.encoder,
        "mode": (Mode.OBJECTS if is_of_objects else Mode.WHOLE_IMAGE).value,
        # Protobuf's JSON has 64-bit integers as text.
        "image_count": collection.image_count,
        "region_count": collection.region_count,
        "without_objects_count": collection.without_objects_count,
    }
    row = first | as_dict(collection) | first
    if not as_json:
        for name in ("without_objects_count", "counts_unknown", "display_name", "suggested_encoder"):
            if not row[name]:
                del row[name]
    return row


def _suggest(collections: Sequence[ingest_pb2.Collection]) -> None:
    """Say which collections could move to the default encoder."""
    names: dict[str, list[str]] = {}
    for collection in collections:
        if collection.suggested_encoder:
            names.setdefault(collection.suggested_encoder, []).append(collection.name)
    for encoder, others in names.items():
        made = "were made" if len(others) > 1 else "was made"
        note(
            f"{', '.join(others)} {made} with an encoder that has been replaced; {encoder} is the default one. "
            f"`fovea reindex -c {others[0]}` embeds the images with it, while they are searched; `--rollback` returns."
        )
