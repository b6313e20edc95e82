"""Where `fovea up` keeps everything: one folder, used by one running system at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cli.failure import CommandFailed
from cli.paths import home


def default_data_folder() -> Path:
    """`fovea` in the person's data folder; CommandFailed where nobody knows that."""
    if named := os.environ.get("XDG_DATA_HOME"):
        return Path(named) / "fovea"
    if not (found := home()):
        raise CommandFailed("there is no home folder to keep data in (is HOME set?): say where with --data DIR")
    return found / ".local" / "share" / "fovea"


@dataclass(frozen=True, slots=True)
class DataFolder:
    """The places inside a data folder."""

    path: Path

    @property
    def run_file(self) -> Path:
        """Addresses and process ids, while a system runs."""
        return self.path / "run.json"

    @property
    def logs(self) -> Path:
        """One log for each process."""
        return self.path / "logs"

    @property
    def models(self) -> Path:
        """Bundles that were imported here."""
        return self.path / "models"

    @property
    def redis(self) -> Path:
        """What the embedded Redis keeps."""
        return self.path / "redis"

    @property
    def milvus(self) -> Path:
        """What the embedded Milvus keeps."""
        return self.path / "milvus"

    @property
    def uploads(self) -> Path:
        """Pictures that came without a readable path."""
        return self.path / "uploads"

    @property
    def demo(self) -> Path:
        """The gallery of `fovea demo`."""
        return self.path / "demo"

    @property
    def lock_file(self) -> Path:
        """Held by the running system; holds its process id."""
        return self.path / "lock"

    def make(self) -> None:
        """Create what is not there yet, the stores for their owner only; CommandFailed where that is impossible."""
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
        """Hold the folder for one system; CommandFailed when another holds it."""
        with self.lock_file.open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                lock.seek(0)
                raise CommandFailed(
                    f"Fovea already runs on {self.path} (process {lock.read().strip() or 'unknown'}): "
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
