"""`fovea scrub`: compares the stores of a collection, and repairs what differs."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from cli.connections import ingest_service
from cli.options import Collection, Data, IngestAddress, Json, ingest_address
from cli.output import note, progress_bar, show, show_json
from fovea.ingest.v1 import ingest_pb2

app = typer.Typer(add_completion=False)
MAX_SHOWN = 1000


@app.command(epilog="Example: fovea scrub -c holidays --repair")
def scrub(
    *,
    collection: Collection,
    repair: Annotated[
        bool, typer.Option("--repair", help="Repair what can be repaired; default: only report.")
    ] = False,
    data: Data = None,
    address: IngestAddress = "",
    as_json: Json = False,
) -> None:
    """Compare what Redis, Milvus and the kept files hold of a collection; exit code 1 if damage is left.

    It may run while the collection is searched and added to.
    """
    request = ingest_pb2.ScrubRequest(collection=collection, repair=repair)
    found = asyncio.run(_scrub(ingest_address(address, data), request))
    if as_json:
        show_json(found)
    elif found["damages"]:
        show(found["damages"])
    note(_verdict(found, is_repairing=repair))
    if found["damage_count"] > found["repaired_count"]:
        raise typer.Exit(1)


def _verdict(found: Mapping[str, Any], *, is_repairing: bool) -> str:
    checked, count, repaired = (found[f"{name}_count"] for name in ("checked", "damage", "repaired"))
    lines = [f"{checked} {'image' if checked == 1 else 'images'} checked: "]
    lines.append(f"{count} damaged, {repaired} repaired." if count else "nothing is damaged.")
    if count > MAX_SHOWN:
        lines.append(f" The first {MAX_SHOWN} are listed.")
    if count > repaired and not is_repairing:
        lines.append(" --repair repairs what can be repaired.")
    return "".join(lines)


async def _scrub(address: str, request: ingest_pb2.ScrubRequest) -> dict[str, Any]:
    """What was found: the first thousand damages, and how many there are."""
    found: dict[str, Any] = {"damages": [], "damage_count": 0, "repaired_count": 0, "checked_count": 0}
    columns = TextColumn("checking"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    async with ingest_service(address) as stub:
        with progress_bar(*columns) as bar:
            task = bar.add_task("checking", total=None)
            async for news in stub.Scrub(request):
                if not news.damage:
                    found["checked_count"] = news.checked_count
                    bar.update(task, completed=news.checked_count, total=news.total_count)
                    continue
                found["damage_count"] += 1
                found["repaired_count"] += news.repaired
                if len(found["damages"]) < MAX_SHOWN:
                    row = {"image_id": news.image_id, "damage": news.damage, "repaired": news.repaired}
                    found["damages"].append(row | {"detail": news.detail})
    return found
