"""Options that several commands share, with one meaning everywhere."""

import contextlib
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.connections import Mode
from cli.data_folder import DataFolder, RunningSystem, default_data_folder, home_folder
from cli.errors import CommandFailed
from domain.limits import MAX_FRONTS


def parse_path(text: str) -> Path:
    """The path of an option; an empty one, as an unset shell variable gives, does not mean the current folder."""
    if not text.strip():
        raise typer.BadParameter("the path is empty")
    return Path(text)


Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        parser=parse_path,
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
ModeOption = Annotated[Mode, typer.Option(help="One embedding for each image, or one for each object in it.")]
Detector = Annotated[
    str, typer.Option(metavar="NAME", help="The bundle that finds objects; default: the default or only one served.")
]
Port = Annotated[int, typer.Option(min=0, max=65535, help="The page's port; 0 takes a free one.")]
ServicePort = Annotated[int, typer.Option(min=0, max=65535, help="A fixed port; default: a free one.")]
Models = Annotated[
    list[Path] | None,
    typer.Option(
        "--models",
        parser=parse_path,
        metavar="DIR",
        help="A bundle or a folder of bundles to serve too; may be given again.",
    ),
]
Milvus = Annotated[
    str, typer.Option("--milvus", envvar="FOVEA_MILVUS", metavar="URL", help="A Milvus to use, not the embedded one.")
]
Redis = Annotated[
    str, typer.Option("--redis", envvar="FOVEA_REDIS", metavar="URL", help="A Redis to use, not the embedded one.")
]


def parse_fronts(text: str) -> str:
    """The number of an encoder's fronts, as its setting takes it."""
    if text not in ("", "auto") and not (text.isdecimal() and 1 <= int(text) <= MAX_FRONTS):
        raise typer.BadParameter(f"say 1 to {MAX_FRONTS}, or auto")
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemOptions:
    """The system to start; an empty URL means the embedded store, port 0 a free one."""

    data: Data = None
    models: Models = None
    root: Annotated[
        list[Path] | None,
        typer.Option(
            "--root",
            parser=parse_path,
            metavar="DIR",
            help="Images may be read by path below this folder; may be given again. Default: home and this folder.",
        ),
    ] = None
    milvus: Milvus = ""
    redis: Redis = ""
    search_port: ServicePort = 0
    ingest_port: ServicePort = 0
    encoder_port: Annotated[
        int,
        typer.Option(
            min=0, max=65000, help="The first encoder process's port, the others count up; default: free ones."
        ),
    ] = 0
    process_per_bundle: Annotated[
        bool,
        typer.Option(
            "--process-per-bundle",
            help="Serve each bundle from a process of its own; default: one that embeds and one that detects.",
        ),
    ] = False

    fronts: Annotated[
        str,
        typer.Option(
            "--fronts",
            parser=parse_fronts,
            metavar="N|auto",
            help="Processes that take the calls of each encoder, before one that runs its models; auto: one, on a GPU more.",
        ),
    ] = ""

    @property
    def folder(self) -> DataFolder:
        """The data folder of --data, or the default one."""
        return data_folder(self.data)

    @property
    def roots(self) -> list[Path]:
        """The folders that images may be read from: by default home and the current one, as far as they exist."""
        folders = self.root or []
        if not folders:
            folders = [home] if (home := home_folder()) else []
            with contextlib.suppress(FileNotFoundError):
                folders.append(Path.cwd())
        return [full_path(folder) for folder in folders]


def expand_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the fields of its parameter `options`, a dataclass, as options: a list of options has one home."""
    own = inspect.signature(command).parameters
    kind = own["options"].annotation
    shared = inspect.signature(kind).parameters

    @functools.wraps(command)
    def expanded(**values: Any) -> None:
        options = kind(**{name: values.pop(name) for name in shared})
        command(**values, options=options)

    # The signature is what Typer reads.
    parameters = [each for name in own for each in (shared.values() if name == "options" else [own[name]])]
    expanded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return expanded


def full_path(path: Path) -> Path:
    """The absolute path that is meant; CommandFailed where its `~` or its links lead nowhere."""
    try:
        return path.expanduser().resolve()
    except (OSError, RuntimeError) as error:
        raise CommandFailed(f"{path} leads nowhere ({error}): give a full path") from error


def data_folder(path: Path | None) -> DataFolder:
    """The data folder of --data, or the default one."""
    return DataFolder(full_path(path or default_data_folder()))


def search_address(address: str, data: Path | None) -> str:
    """The search service of --search, or that of the running system."""
    return address or RunningSystem.read(data_folder(data)).search


def ingest_address(address: str, data: Path | None) -> str:
    """The ingest service of --ingest, or that of the running system."""
    return address or RunningSystem.read(data_folder(data)).ingest
