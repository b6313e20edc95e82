"""`fovea`: the command, put together from one module for each of its subcommands."""

from importlib.metadata import version
from typing import Annotated

import typer

from cli.commands import collections, demo, doctor, encode, ingest, models, reindex, scrub, search, up
from cli.errors import PlainFailures

app = typer.Typer(cls=PlainFailures, no_args_is_help=True, pretty_exceptions_enable=False)


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


app.command(epilog=up.EXAMPLE)(up.up)
app.command(epilog=demo.EXAMPLE)(demo.demo)
app.command(epilog=ingest.EXAMPLE)(ingest.ingest)
app.command(epilog=search.EXAMPLE)(search.search)
app.command(epilog=reindex.EXAMPLE)(reindex.reindex)
app.command(epilog=scrub.EXAMPLE)(scrub.scrub)
app.add_typer(collections.app, name="collections", epilog="Example: fovea collections list")
app.add_typer(models.app, name="models", epilog="Example: fovea models list")
app.command(epilog=encode.EXAMPLE)(encode.encode)
app.command(epilog=doctor.EXAMPLE)(doctor.doctor)
