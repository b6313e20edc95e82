"""`fovea collections`: list, create, show and delete."""

import asyncio
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from cli.answers import as_dict, note, show, show_fitting, show_json
from cli.creation import Detector, Encoder, Index, Mode, ModeOption, create_collection
from cli.failure import CommandFailed
from cli.options import Data, IngestAddress, Json, Wide, ingest_address
from cli.peers import CALL_TIMEOUT_S, ingest_service
from fovea.ingest.v1 import ingest_pb2

Name = Annotated[str, typer.Argument(metavar="NAME", help="The collection.")]

app = typer.Typer(no_args_is_help=True, help="List, create, show and delete collections.")


@app.command("list", epilog="Example: fovea collections list --json")
def list_all(*, wide: Wide = False, data: Data = None, ingest: IngestAddress = "", as_json: Json = False) -> None:
    """List all collections with their counts."""
    found = asyncio.run(_list(ingest_address(ingest, data)))
    show_fitting(
        [_row(collection) if as_json else _told(collection) for collection in found],
        wide=wide,
        as_json=as_json,
        empty="There is no collection yet: create one with `fovea collections create NAME --encoder NAME`.",
    )


@app.command(epilog="Example: fovea collections create holidays --encoder general --mode objects")
def create(
    name: Name,
    *,
    encoder: Encoder,
    mode: ModeOption = Mode.WHOLE_IMAGE,
    detector: Detector = "",
    index: Index = "",
    data: Data = None,
    ingest: IngestAddress = "",
    as_json: Json = False,
) -> None:
    """Create an empty collection."""
    address = ingest_address(ingest, data)
    created = asyncio.run(_create(address, name, encoder=encoder, mode=mode, detector=detector, index=index))
    _show_one(created, as_json=as_json)


@app.command("show", epilog="Example: fovea collections show holidays")
def show_one(name: Name, *, data: Data = None, ingest: IngestAddress = "", as_json: Json = False) -> None:
    """Show one collection."""
    _show_one(asyncio.run(_get(ingest_address(ingest, data), name)), as_json=as_json)


@app.command(epilog="Example: fovea collections delete holidays --yes")
def delete(
    name: Name,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    data: Data = None,
    ingest: IngestAddress = "",
    as_json: Json = False,
) -> None:
    """Delete a collection and everything in it; the picture files stay."""
    address = ingest_address(ingest, data)
    found = asyncio.run(_get(address, name))
    if not yes:
        _confirm(found)
    asyncio.run(_delete(address, name))
    if as_json:
        show_json({"deleted": name, "image_count": found.image_count})
    else:
        note(f"Deleted {name} with {found.image_count} pictures; the files are where they were.")


def _confirm(collection: ingest_pb2.Collection) -> None:
    if not sys.stdin.isatty():
        raise CommandFailed(f"deleting {collection.name} needs --yes where nobody can be asked")
    typer.confirm(f"Delete {collection.name} with {collection.image_count} pictures?", abort=True)


async def _list(address: str) -> list[ingest_pb2.Collection]:
    async with ingest_service(address) as stub:
        response = await stub.ListCollections(ingest_pb2.ListCollectionsRequest(), timeout=CALL_TIMEOUT_S)
    return list(response.collections)


async def _get(address: str, name: str) -> ingest_pb2.Collection:
    async with ingest_service(address) as stub:
        response = await stub.GetCollection(ingest_pb2.GetCollectionRequest(name=name), timeout=CALL_TIMEOUT_S)
    return response.collection


async def _create(address: str, name: str, **described: Any) -> ingest_pb2.Collection:
    async with ingest_service(address) as stub:
        return await create_collection(stub, name, **described)


async def _delete(address: str, name: str) -> None:
    async with ingest_service(address) as stub:
        await stub.DeleteCollection(ingest_pb2.DeleteCollectionRequest(name=name), timeout=CALL_TIMEOUT_S)


def _show_one(collection: ingest_pb2.Collection, *, as_json: bool) -> None:
    if as_json:
        show_json(_row(collection))
    else:
        show([{"": name.replace("_", " "), " ": value} for name, value in _told(collection).items()], as_json=False)


def _told(collection: ingest_pb2.Collection) -> Mapping[str, Any]:
    """The same for people, who need not be told that the counts are known."""
    return {name: value for name, value in _row(collection).items() if name != "counts_unknown" or value}


def _row(collection: ingest_pb2.Collection) -> Mapping[str, Any]:
    """The fields in the contract's words, what people look for first; counts as numbers, the mode as people say it."""
    mode = Mode.OBJECTS if collection.mode == ingest_pb2.COLLECTION_MODE_OBJECTS else Mode.WHOLE_IMAGE
    first = {
        "name": collection.name,
        "encoder": collection.encoder,
        "mode": mode.value,
        "image_count": collection.image_count,
        "region_count": collection.region_count,
    }
    return first | {name: value for name, value in as_dict(collection).items() if name not in first}
