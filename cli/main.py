"""`fovea`: the command, put together from one module for each of its subcommands."""

from importlib.metadata import version
from typing import Annotated, Any

import typer

from cli.errors import PlainFailures
from cli.lazy_commands import LazyCommand

# In the order in which `fovea --help` lists them; the first lines of their help.
_COMMANDS = {
    "up": "Start everything on this machine and say where; Ctrl-C stops it.",
    "demo": "Start everything, fill it with photos and drawn scenes, search them in a few ways and show the answers.",
    "ingest": "Ingest folders and files of images into a collection; unchanged images cost little, so it may be run again.",
    "search": "Find images.",
    "reindex": "Embed a collection's images with another encoder; searches use the old embeddings until all is done.",
    "scrub": "Compare what Redis, Milvus and the kept files hold of a collection; exit code 1 if damage is left.",
    "backup": "Save collections with their embeddings and kept files into a new folder, while the system runs.",
    "restore": "Bring back the collections of a backup under their names, which have to be free, while the system runs.",
    "encode": "Encode images or words; writes float32 (N, D) of unit length, one row for each argument.",
    "doctor": "Check this machine: Python, packages, processors, models, stores, ports, disk and memory.",
    "collections": "List, create, show, rename and delete collections.",
    "models": "List, check and import models.",
    "token": "Create, list and revoke tokens of callers.",
}


class FoveaCommands(PlainFailures):
    """The group of all commands."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, help_line in _COMMANDS.items():
            self.add_command(LazyCommand(name, help=help_line))


app = typer.Typer(cls=FoveaCommands, no_args_is_help=True, pretty_exceptions_enable=False)


def _show_version(is_asked: bool) -> None:  # noqa: FBT001 - typer passes it so
    if is_asked:
        typer.echo(f"fovea {version('fovea')}")
        raise typer.Exit


@app.callback()
def fovea(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Finds images by image, by object, by words and by sketch."""
