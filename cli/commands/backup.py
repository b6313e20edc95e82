"""`fovea backup`: collections and kept files into a folder."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.data_folder import RunningSystem
from cli.errors import CommandFailed
from cli.options import Data, Json, Milvus, Redis, data_folder, parse_path
from cli.output import console, note, show, show_json

app = typer.Typer(add_completion=False)

Folder = Annotated[Path, typer.Argument(parser=parse_path, metavar="FOLDER", help="The folder of the backup.")]
Collections = Annotated[
    list[str] | None,
    typer.Option("--collection", "-c", metavar="NAME", help="Only this collection; may be given again. Default: all."),
]


@app.command(epilog="Example: fovea backup ~/backups/monday")
def backup(
    folder: Folder,
    *,
    collection: Collections = None,
    data: Data = None,
    milvus: Milvus = "",
    redis: Redis = "",
    as_json: Json = False,
) -> None:
    """Save collections with their embeddings and kept files into a new folder, while the system runs."""
    run_backup("save", folder, collection, store_settings(data, milvus, redis), as_json=as_json)


def store_settings(data: Path | None, milvus: str, redis: str) -> dict[str, str]:
    """Where the stores and the kept files of a running system are, as the ingest process reads it."""
    folder = data_folder(data)
    system = RunningSystem.read(folder)
    stores = {"milvus": milvus or system.milvus, "redis": redis or system.redis}
    for name, url in stores.items():
        if "***" in url:
            raise CommandFailed(f"the URL of {name.capitalize()} has a password: set FOVEA_{name.upper()} to all of it")
    return {
        "FOVEA_INGEST_MILVUS_URI": stores["milvus"],
        "FOVEA_INGEST_REDIS_URL": stores["redis"],
        "FOVEA_INGEST_UPLOADS": str(folder.uploads),
    }


def run_backup(
    step: str, folder: Path, collections: list[str] | None, settings: dict[str, str], *, as_json: bool
) -> None:
    """Save or restore in a process of the package that knows the stores, and print what it reports."""
    argv = [sys.executable, "-P", "-m", "services.ingest.backup", step, str(folder.absolute()), *(collections or [])]
    with console(stderr=True).status("copying …"):
        done = subprocess.run(argv, env=os.environ | settings, stdout=subprocess.PIPE, text=True, check=False)
    if not done.stdout:
        raise typer.Exit(1)  # the process has said why
    report: dict[str, Any] = json.loads(done.stdout)
    if as_json:
        show_json(report)
    else:
        show(report["collections"], empty="There is no collection.")
        note(f"{report['upload_count']} kept files were copied.")
    if report["damaged"]:
        note(f"{len(report['damaged'])} images could not be read: `fovea scrub --repair` says what is wrong with them.")
    if report["lost_files"]:
        note(f"{len(report['lost_files'])} kept files are damaged and were left out.")
    if done.returncode:
        raise typer.Exit(1)
