"""The data folder: where one system keeps everything, and where it says that it runs and at which addresses."""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from cli.errors import CommandFailed
from domain.store_urls import without_secrets


class DataFolder:
    """The files and folders of a system, and the lock that lets only one system use them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.run_file = path / "run.json"  # addresses and process ids, while a system runs
        self.lock_file = path / "lock"  # held by the running system; contains its process id
        self.logs = path / "logs"  # one for each process
        self.models = path / "models"  # imported bundles
        self.redis = path / "redis"
        self.milvus = path / "milvus"
        self.uploads = path / "uploads"  # images that came without a readable path
        self.demo = path / "demo"  # the images of `fovea demo`

    def make(self) -> None:
        """Create what is missing, the stores for their owner only; CommandFailed where that is impossible."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            for folder in (self.logs, self.models, self.uploads):
                folder.mkdir(exist_ok=True)
            for folder in (self.redis, self.milvus):
                folder.mkdir(exist_ok=True)
                folder.chmod(0o700)
        except OSError as error:
            raise CommandFailed(
                f"{self.path} cannot be the data folder ({error.strerror}): give another one with --data"
            ) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one system; CommandFailed says where the system that holds it runs."""
        with self.lock_file.open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                lock.seek(0)
                raise CommandFailed(
                    f"Fovea already runs on {self.path}{self._at_url()} (process {lock.read().strip() or 'unknown'}): "
                    "stop it first, or give another folder with --data"
                ) from error
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            yield

    @property
    def is_in_use(self) -> bool:
        """Whether a system runs on this folder."""
        try:
            with self.lock_file.open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except BlockingIOError:
            return True
        return False

    def _at_url(self) -> str:
        try:
            return f" at {RunningSystem.read(self).gateway}"
        except CommandFailed:  # it is starting or stopping, or of another version
            return ""


@dataclass(frozen=True, slots=True)
class RunningSystem:
    """Where a system runs: URLs for gateway, Milvus and Redis, `host:port` for the rest; process ids by name.

    `encoders` has the address of each bundle; those that one process serves have the same.
    """

    gateway: str
    search: str
    ingest: str
    encoders: Mapping[str, str]
    milvus: str
    redis: str
    pids: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, data: DataFolder) -> Self:
        """The system that runs on a data folder; CommandFailed where none does."""
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
        """Write `run.json` for the other commands, in one step so that none reads half of it."""
        unfinished = data.run_file.with_suffix(".new")
        unfinished.write_text(json.dumps(self.as_json(), indent=2) + "\n")
        unfinished.replace(data.run_file)

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON values, without passwords and tokens."""
        return asdict(replace(self, milvus=without_secrets(self.milvus), redis=without_secrets(self.redis)))


def default_data_folder() -> Path:
    """`fovea` in the user's data folder; CommandFailed where that is unknown."""
    if path := os.environ.get("XDG_DATA_HOME"):
        return Path(path) / "fovea"
    if not (home := home_folder()):
        raise CommandFailed("there is no home folder to keep data in (is HOME set?): say where with --data DIR")
    return home / ".local" / "share" / "fovea"


def home_folder() -> Path | None:
    """The home folder, where there is one: a service's user may have none, `/`, or one that does not exist."""
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - unlike pathlib's, it does not raise where HOME is unknown
    return home if home.is_absolute() and home.is_dir() and home != home.parent else None
