"""`run.json`: the addresses and process ids of the running system, written by `fovea up`, read by every other command."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Self
from urllib.parse import urlsplit, urlunsplit

from cli.data_folder import DataFolder
from cli.failure import CommandFailed


@dataclass(frozen=True, slots=True)
class Running:
    """A running system: URLs for gateway, Milvus and Redis, `host:port` for the rest."""

    gateway: str
    search: str
    ingest: str
    encoders: Mapping[str, str]
    milvus: str
    redis: str
    pids: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, data: DataFolder) -> Self:
        """What runs on a data folder; CommandFailed when nothing does."""
        if not data.is_in_use:
            raise CommandFailed(f"Fovea does not run on {data.path}: start it with `fovea up`, or say where it runs")
        try:
            return cls(**json.loads(data.run_file.read_bytes()))
        except FileNotFoundError as error:
            raise CommandFailed(f"Fovea on {data.path} is still starting or stopping: try again soon") from error
        except (ValueError, TypeError) as error:
            raise CommandFailed(
                f"another version of Fovea runs on {data.path}: use its command, or restart it"
            ) from error

    def write(self, data: DataFolder) -> None:
        """Tell the other commands; the file appears whole or not at all."""
        unfinished = data.run_file.with_suffix(".new")
        unfinished.write_text(json.dumps(asdict(self), indent=2) + "\n")
        unfinished.replace(data.run_file)


def without_password(url: str) -> str:
    """The same URL with its password, if it has one, struck out."""
    parts = urlsplit(url)
    if not parts.password:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", ":***@")))
