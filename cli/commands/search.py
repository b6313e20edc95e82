"""`fovea search`: one query, made of words, images, sketches and stored images."""

import asyncio
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.connections import CALL_TIMEOUT_S, search_service
from cli.errors import CommandFailed
from cli.options import Collection, Data, Json, SearchAddress, full_path, search_address
from cli.output import as_dict, console, note, show, show_json
from cli.profile import profile_tree
from fovea.search.v1 import search_pb2
from fovea.types.v1 import types_pb2
from rpc.errors import ServiceError
from rpc.messages import box_message, box_of

app = typer.Typer(add_completion=False)

_Files = list[Path] | None
_Texts = list[str] | None

# How the service names a part of the query in an error, with the field at fault.
_PART = re.compile(r"\bparts\[(\d+)\](?:\.(\w+))?")
_OPTION_OF = {
    "weight": "--weight",
    "region": "--region",
    "regions": "--region",
    "detect": "--detect",
    "match": "--match-all",
}


@app.command(epilog="Example: fovea search -c holidays --image cat.jpg --filter 'year = 2024' --limit 5")
def search(
    *,
    collection: Collection,
    text: Annotated[_Texts, typer.Option(metavar="WORDS", help="Words that describe it; may be given again.")] = None,
    image: Annotated[_Files, typer.Option(metavar="FILE", help="An image like it; may be given again.")] = None,
    sketch: Annotated[_Files, typer.Option(metavar="FILE", help="A drawing of it; may be given again.")] = None,
    image_id: Annotated[_Texts, typer.Option(metavar="ID", help="A stored image; may be given again.")] = None,
    weight: Annotated[
        list[float] | None,
        typer.Option(help="One for each part: first texts, then images, sketches, ids; negative pushes away."),
    ] = None,
    region: Annotated[
        _Texts,
        typer.Option(
            metavar="X,Y,X,Y",
            help="This part of the first image only: left, top, right, bottom, each from 0 to 1; may be given again.",
        ),
    ] = None,
    detect: Annotated[bool, typer.Option(help="Search for each object found in the first image.")] = False,
    match_all: Annotated[
        bool, typer.Option("--match-all", help="All regions or objects have to be in one image, not any of them.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The most hits.")] = 10,
    offset: Annotated[int, typer.Option(min=0, help="Hits to leave out at the front.")] = 0,
    page_token: Annotated[
        str, typer.Option(metavar="TOKEN", help="The next page: next_page_token in the answer of --json.")
    ] = "",
    where: Annotated[str, typer.Option("--filter", metavar="TEXT", help="Only what matches, e.g. 'year > 2020'.")] = "",
    min_score: Annotated[float | None, typer.Option(help="Leave out hits that score less.")] = None,
    exact: Annotated[bool, typer.Option(help="Compare with every embedding.")] = False,
    group: Annotated[bool, typer.Option(help="One hit for each image, or one for each of its regions.")] = True,
    fold: Annotated[bool, typer.Option(help="Fold exact copies into one hit.")] = True,
    explain: Annotated[bool, typer.Option(help="Show what each part contributed to each score.")] = False,
    group_near: Annotated[
        bool, typer.Option("--group-near-duplicates", help="Fold the same photo at other sizes and crops into one hit.")
    ] = False,
    diversity: Annotated[
        float, typer.Option(min=0, max=1, help="How much hits should differ from those before them.")
    ] = 0.0,
    relevance: Annotated[
        bool, typer.Option("--relevance", help="Only hits that stand out from the rest; none where nothing does.")
    ] = False,
    profile: Annotated[bool, typer.Option("--profile", help="Show where the time went, as a tree.")] = False,
    data: Data = None,
    address: SearchAddress = "",
    as_json: Json = False,
) -> None:
    """Find images."""
    # The name of each part, for messages, and the part itself.
    named = [
        *((f"--text {words!r}", search_pb2.QueryPart(text=words)) for words in text or ()),
        *((f"--image {file}", search_pb2.QueryPart(image=_read(file))) for file in image or ()),
        *((f"--sketch {file}", search_pb2.QueryPart(sketch=_read(file))) for file in sketch or ()),
        *((f"--image-id {stored}", search_pb2.QueryPart(image_id=stored)) for stored in image_id or ()),
    ]
    if not named and not page_token:
        raise CommandFailed("say what to look for with --text, --image, --sketch or --image-id")
    names, parts = [name for name, _ in named], [part for _, part in named]
    _weigh(parts, weight or ())
    _aim(parts, region or (), detect=detect, match_all=match_all)
    request = search_pb2.SearchRequest(
        collection=collection,
        parts=parts,
        limit=limit,
        offset=offset,
        filter=where,
        min_score=min_score,
        exact=exact,
        # Their defaults are left out: nothing but a limit may stand beside a page token.
        group_by_image=None if group else False,
        fold_copies=None if fold else False,
        explain=explain,
        group_near_duplicates=group_near,
        diversity=diversity,
        relevance=relevance,
        page_token=page_token,
    )
    started_s = time.perf_counter()
    try:
        response = asyncio.run(_search(search_address(address, data), request))
    except ServiceError as error:
        raise CommandFailed(_PART.sub(lambda part: _option(part, names), error.message)) from error
    round_trip_ms = 1000 * (time.perf_counter() - started_s)
    if as_json:
        show_json(as_dict(response))
        return
    show_response(response)
    if profile:
        console().print(profile_tree(response.timings, round_trip_ms=round_trip_ms))


def _option(part: re.Match[str], names: Sequence[str]) -> str:
    """The option that gave a part of the query, instead of the part's number."""
    name, option = names[int(part[1])], _OPTION_OF.get(part[2], "")
    return f"{option} of {name}" if option else name


async def _search(address: str, request: search_pb2.SearchRequest) -> search_pb2.SearchResponse:
    async with search_service(address) as stub:
        return await stub.Search(request, timeout=CALL_TIMEOUT_S)


def show_response(response: search_pb2.SearchResponse) -> None:
    """Print hits as a table, with where the time went."""
    for warning in response.warnings:
        note(f"note: {warning}")
    show(_rows(response), empty="No hits.")
    timings = response.timings
    console().print(
        f"{timings.total_ms:.0f} ms: encode {timings.encode_ms:.0f}, "
        f"Milvus {timings.vector_search_ms:.0f}, Redis {timings.metadata_ms:.0f}"
    )


def _rows(response: search_pb2.SearchResponse) -> list[dict[str, Any]]:
    """One row a hit, without the columns that would be empty in all rows."""
    rows = [
        {
            "rank": rank,
            "score": hit.score,
            "sure": f"{hit.confidence:.0%}" if hit.HasField("confidence") else "",
            "image": hit.uri,
            "label": hit.label,
            "region": ",".join(f"{edge:.2f}" for edge in box_of(hit.region)) if hit.HasField("region") else "",
            "metadata": as_dict(hit.metadata),
            "copies": hit.copy_count,
            "near duplicates": len(hit.near_duplicates),
            "parts": ", ".join(f"{each.part + 1}: {each.score:+.3f}" for each in hit.contributions),
        }
        for rank, hit in enumerate(response.hits, start=1)
    ]
    shown = {"score", *(name for row in rows for name, value in row.items() if value)}
    return [{name: value for name, value in row.items() if name in shown} for row in rows]


def _read(file: Path) -> bytes:
    try:
        return full_path(file).read_bytes()
    except OSError as error:
        raise CommandFailed(f"{file} cannot be read: {error.strerror}") from error


def _weigh(parts: Sequence[search_pb2.QueryPart], weights: Sequence[float]) -> None:
    if weights and len(weights) != len(parts):
        raise CommandFailed(f"one --weight for each part is needed: {len(weights)} given, parts: {len(parts)}")
    for part, weight in zip(parts, weights, strict=False):
        part.weight = weight


def _aim(parts: Sequence[search_pb2.QueryPart], regions: Sequence[str], *, detect: bool, match_all: bool) -> None:
    if match_all:
        for part in parts:
            if part.WhichOneof("content") in ("image", "image_id"):
                part.match = search_pb2.REGION_MATCH_ALL
    if not regions and not detect:
        return
    first = next((part for part in parts if part.WhichOneof("content") == "image"), None)
    if first is None:
        raise CommandFailed("--region and --detect need an --image")
    first.detect = detect
    if len(regions) == 1:
        first.region.CopyFrom(_region(regions[0]))
    else:
        first.regions.extend(map(_region, regions))


def _region(text: str) -> types_pb2.Box:
    try:
        x_min, y_min, x_max, y_max = map(float, text.split(","))
    except ValueError as error:
        raise CommandFailed(f"--region {text} is not four numbers like 0.1,0.2,0.5,0.9") from error
    return box_message((x_min, y_min, x_max, y_max))
