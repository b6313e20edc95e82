"""Options that several commands share, with one meaning everywhere."""

from pathlib import Path
from typing import Annotated

import typer

from cli.data_folder import DataFolder, default_data_folder
from cli.paths import default_roots, expanded, named
from cli.running import Running
from cli.wiring import Wanted

Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        parser=named,
        envvar="FOVEA_DATA",
        metavar="DIR",
        help="Where the system keeps everything; default: fovea in your data folder.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Wide = Annotated[bool, typer.Option("--wide", help="Show every column, however long the lines become.")]
Collection = Annotated[str, typer.Option("--collection", "-c", metavar="NAME", help="The collection.")]
SearchAddress = Annotated[
    str,
    typer.Option("--search", envvar="FOVEA_SEARCH", metavar="HOST:PORT", help="The search service, if not run here."),
]
IngestAddress = Annotated[
    str,
    typer.Option("--ingest", envvar="FOVEA_INGEST", metavar="HOST:PORT", help="The ingest service, if not run here."),
]
Port = Annotated[int, typer.Option(min=0, max=65535, help="The page's port; 0 takes a free one.")]
ServicePort = Annotated[int, typer.Option(min=0, max=65535, help="A fixed port; default: a free one.")]
EncoderPort = Annotated[
    int, typer.Option(min=0, max=65000, help="The first encoder's port, the others count up; default: free ones.")
]
Models = Annotated[
    list[Path] | None,
    typer.Option(
        "--models",
        parser=named,
        metavar="DIR",
        help="A bundle or a folder of bundles to serve too; may be given again.",
    ),
]
Shipped = Annotated[bool, typer.Option("--shipped/--no-shipped", help="Serve the models that ship with Fovea.")]
Roots = Annotated[
    list[Path] | None,
    typer.Option(
        "--root",
        parser=named,
        metavar="DIR",
        help="Pictures may be read by path below this folder; may be given again. Default: home and this folder.",
    ),
]
Milvus = Annotated[
    str, typer.Option("--milvus", envvar="FOVEA_MILVUS", metavar="URL", help="A Milvus to use, not the embedded one.")
]
Redis = Annotated[
    str, typer.Option("--redis", envvar="FOVEA_REDIS", metavar="URL", help="A Redis to use, not the embedded one.")
]


def data_folder(path: Path | None) -> DataFolder:
    """The data folder that was asked for, or the default one."""
    return DataFolder(expanded(path or default_data_folder()))


def search_address(asked: str, data: Path | None) -> str:
    """The search service that was asked for, or that of the running system."""
    return asked or Running.read(data_folder(data)).search


def ingest_address(asked: str, data: Path | None) -> str:
    """The ingest service that was asked for, or that of the running system."""
    return asked or Running.read(data_folder(data)).ingest


def wanted(
    *,
    data: Path | None,
    port: int,
    search_port: int,
    ingest_port: int,
    encoder_port: int,
    models: list[Path] | None,
    shipped: bool = True,
    roots: list[Path] | None,
    milvus: str,
    redis: str,
) -> Wanted:
    """What the options of `fovea up` ask for."""
    return Wanted(
        data=data_folder(data),
        port=port,
        search_port=search_port,
        ingest_port=ingest_port,
        encoder_port=encoder_port,
        models=models or (),
        shipped=shipped,
        roots=[expanded(root) for root in roots or default_roots()],
        milvus=milvus,
        redis=redis,
    )
