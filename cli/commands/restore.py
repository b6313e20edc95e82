"""`fovea restore`: the collections of a backup, with their kept files."""

import typer

from cli.commands.backup import Collections, Folder, run_backup, store_settings
from cli.options import Data, Json, Milvus, Redis

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: fovea restore ~/backups/monday -c holidays")
def restore(
    folder: Folder,
    *,
    collection: Collections = None,
    data: Data = None,
    milvus: Milvus = "",
    redis: Redis = "",
    as_json: Json = False,
) -> None:
    """Bring back the collections of a backup under their names, which have to be free, while the system runs."""
    run_backup("restore", folder, collection, store_settings(data, milvus, redis), as_json=as_json)
