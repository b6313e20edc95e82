"""`fovea reindex`: a collection moves to another encoder, while it is searched and added to."""

import asyncio
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from cli.connections import get_collection, ingest_service
from cli.errors import CommandFailed
from cli.options import Collection, Data, IngestAddress, Json, ingest_address
from cli.output import note, progress_bar, show_json
from fovea.ingest.v1 import ingest_pb2

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: fovea reindex -c holidays --encoder general")
def reindex(
    *,
    collection: Collection,
    encoder: Annotated[
        str, typer.Option(metavar="NAME", help="The bundle to move to; default: the default one that is served.")
    ] = "",
    rollback: Annotated[bool, typer.Option("--rollback", help="Return to the encoder before the last move.")] = False,
    drop_old: Annotated[
        bool, typer.Option("--drop-old", help="Delete the old embeddings then; there is no rollback after that.")
    ] = False,
    data: Data = None,
    address: IngestAddress = "",
    as_json: Json = False,
) -> None:
    """Embed a collection's images with another encoder; searches use the old embeddings until all is done.

    A call that was cut off changes nothing, and the next one goes on where it ended.
    """
    if encoder and rollback:
        raise CommandFailed("--rollback returns to the former encoder; leave --encoder out")
    request = ingest_pb2.ReindexRequest(collection=collection, encoder=encoder, drop_old=drop_old, rollback=rollback)
    moved = asyncio.run(_reindex(ingest_address(address, data), request))
    if as_json:
        show_json(
            {"collection": moved.name, "encoder": moved.encoder, "space": moved.space, "image_count": moved.image_count}
        )
    else:
        note(f"{moved.name} is served with the encoder {moved.encoder}: {moved.image_count} images.")


async def _reindex(address: str, request: ingest_pb2.ReindexRequest) -> ingest_pb2.Collection:
    columns = TextColumn("embedding"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    async with ingest_service(address) as stub:
        with progress_bar(*columns) as bar:
            task = bar.add_task("embedding", total=None)
            async for progress in stub.Reindex(request):
                bar.update(task, completed=progress.done_count, total=progress.total_count)
        return await get_collection(stub, request.collection)
