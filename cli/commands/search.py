"""`fovea search`: one query, made of words, pictures, sketches and stored pictures."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.answers import as_dict, console, note, show, show_json
from cli.failure import CommandFailed
from cli.options import Collection, Data, Json, SearchAddress, search_address
from cli.paths import expanded
from cli.peers import CALL_TIMEOUT_S, search_service
from fovea.search.v1 import search_pb2
from fovea.types.v1 import types_pb2
from rpc.messages import box_message

EXAMPLE = "Example: fovea search -c holidays --image cat.jpg --filter 'year = 2024' --limit 5"

_Files = list[Path] | None
_Texts = list[str] | None


def search(
    *,
    collection: Collection,
    text: Annotated[_Texts, typer.Option(metavar="WORDS", help="Words that describe it; may be given again.")] = None,
    image: Annotated[_Files, typer.Option(metavar="FILE", help="A picture like it; may be given again.")] = None,
    sketch: Annotated[_Files, typer.Option(metavar="FILE", help="A drawing of it; may be given again.")] = None,
    image_id: Annotated[_Texts, typer.Option(metavar="ID", help="A stored picture; may be given again.")] = None,
    weight: Annotated[
        list[float] | None,
        typer.Option(help="One for each part: first texts, then images, sketches, ids; negative pushes away."),
    ] = None,
    region: Annotated[
        str,
        typer.Option(metavar="X,Y,X,Y", help="This part of the first image only: shares 0..1, left top right bottom."),
    ] = "",
    detect: Annotated[bool, typer.Option(help="Ask for each object found in the first image.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The most hits.")] = 10,
    offset: Annotated[int, typer.Option(min=0, help="Hits to leave out at the front.")] = 0,
    where: Annotated[str, typer.Option("--filter", metavar="TEXT", help="Only what matches, e.g. 'year > 2020'.")] = "",
    min_score: Annotated[float | None, typer.Option(help="Leave out hits that score less.")] = None,
    exact: Annotated[bool, typer.Option(help="Compare with every vector.")] = False,
    group: Annotated[bool, typer.Option(help="One hit for each picture, or one for each of its regions.")] = True,
    fold: Annotated[bool, typer.Option(help="Fold exact copies into one hit.")] = True,
    data: Data = None,
    address: SearchAddress = "",
    as_json: Json = False,
) -> None:
    """Find pictures."""
    parts = [
        *(search_pb2.QueryPart(text=words) for words in text or ()),
        *(search_pb2.QueryPart(image=_read(file)) for file in image or ()),
        *(search_pb2.QueryPart(sketch=_read(file)) for file in sketch or ()),
        *(search_pb2.QueryPart(image_id=stored) for stored in image_id or ()),
    ]
    if not parts:
        raise CommandFailed("say what to look for with --text, --image, --sketch or --image-id")
    _weigh(parts, weight or ())
    _aim(parts, region, detect=detect)
    request = search_pb2.SearchRequest(
        collection=collection,
        parts=parts,
        limit=limit,
        offset=offset,
        filter=where,
        min_score=min_score,
        exact=exact,
        group_by_image=group,
        fold_copies=fold,
    )
    response = asyncio.run(_search(search_address(address, data), request))
    if as_json:
        show_json(as_dict(response))
    else:
        show_response(response)


async def _search(address: str, request: search_pb2.SearchRequest) -> search_pb2.SearchResponse:
    async with search_service(address) as stub:
        return await stub.Search(request, timeout=CALL_TIMEOUT_S)


def show_response(response: search_pb2.SearchResponse) -> None:
    """Print hits as a table, with where the time went."""
    for warning in response.warnings:
        note(f"note: {warning}")
    show(list(_rows(response)), as_json=False, empty="No hits.")
    timings = response.timings
    console().print(
        f"{timings.total_ms:.0f} ms: encode {timings.encode_ms:.0f}, "
        f"Milvus {timings.vector_search_ms:.0f}, Redis {timings.metadata_ms:.0f}"
    )


def _rows(response: search_pb2.SearchResponse) -> Iterator[dict[str, Any]]:
    """One row a hit; columns that would be empty in all rows are left out."""
    hits = response.hits
    for rank, hit in enumerate(hits, start=1):
        row: dict[str, Any] = {"rank": rank, "score": hit.score, "picture": hit.uri}
        if any(other.label for other in hits):
            row["label"] = hit.label
        if any(other.HasField("region") for other in hits):
            row["region"] = _box(hit.region) if hit.HasField("region") else ""
        if any(other.metadata.fields for other in hits):
            row["metadata"] = as_dict(hit.metadata)
        if any(other.copy_count for other in hits):
            row["copies"] = hit.copy_count
        yield row


def _box(box: types_pb2.Box) -> str:
    return f"{box.x_min:.2f},{box.y_min:.2f},{box.x_max:.2f},{box.y_max:.2f}"


def _read(file: Path) -> bytes:
    try:
        return expanded(file).read_bytes()
    except OSError as error:
        raise CommandFailed(f"{file} cannot be read: {error.strerror}") from error


def _weigh(parts: Sequence[search_pb2.QueryPart], weights: Sequence[float]) -> None:
    if weights and len(weights) != len(parts):
        raise CommandFailed(f"one --weight for each part is needed: {len(weights)} given, parts: {len(parts)}")
    for part, weight in zip(parts, weights, strict=False):
        part.weight = weight


def _aim(parts: Sequence[search_pb2.QueryPart], region: str, *, detect: bool) -> None:
    if not region and not detect:
        return
    first = next((part for part in parts if part.WhichOneof("content") == "image"), None)
    if first is None:
        raise CommandFailed("--region and --detect need an --image")
    first.detect = detect
    if region:
        first.region.CopyFrom(_region(region))


def _region(text: str) -> types_pb2.Box:
    try:
        x_min, y_min, x_max, y_max = map(float, text.split(","))
    except ValueError as error:
        raise CommandFailed(f"--region {text} is not four numbers like 0.1,0.2,0.5,0.9") from error
    return box_message((x_min, y_min, x_max, y_max))
