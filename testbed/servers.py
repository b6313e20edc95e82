"""Real servers for tests and benchmarks: each is a child of the process that starts it, on loopback or in a network of its own, in a folder of its own."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import grpc
import pytest
from pymilvus import MilvusClient
from pymilvus.exceptions import MilvusException
from redis import Redis
from redis.exceptions import RedisError

from cli.embedded import EmbeddedCommand, milvus_command, redis_command
from cli.milvus_file import prepare_milvus_file

START_TIMEOUT_S = 60.0
STANDALONE_START_TIMEOUT_S = 180.0


class EmbeddedServer:
    """A server process that can be killed and started again on the same data and port."""

    def __init__(self, command: EmbeddedCommand, url: str, answers: Callable[[str], None]) -> None:
        self.url = url
        self.folder = command.folder
        self.command = command
        self._answers = answers
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Start it and wait until it answers a real call."""
        with (self.command.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command.argv,
                env={**os.environ, **self.command.environment},
                cwd=self.command.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + timeout_s
        while not self._is_answering():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                output = (self.command.folder / "server.log").read_text(errors="replace")[-2000:]
                message = f"{self.command.argv[0]} did not start: {output}"
                raise RuntimeError(message)
            time.sleep(0.02)

    def kill(self) -> None:
        """End it as a crash would, with everything that it started."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def memory_bytes(self) -> int:
        """What it and all that it started hold in memory, what they share counted once."""
        total = 0
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if self._process is not None and os.getsid(int(process.name)) == self._process.pid:
                    rollup = (process / "smaps_rollup").read_text().splitlines()
                    total += sum(int(line.split()[1]) << 10 for line in rollup if line.startswith("Pss:"))
            except OSError:
                pass  # it ended meanwhile
        return total

    def _is_answering(self) -> bool:
        try:
            self._answers(self.url)
        except (grpc.RpcError, MilvusException, RedisError, OSError):
            return False
        return True


def embedded_redis(folder: Path) -> EmbeddedServer:
    """Redis as `fovea up` starts it, but on a port that a test can cut; not started yet."""
    port = free_port()
    command = redis_command(folder)
    on_port = replace(command, argv=(*command.argv, "--bind", "127.0.0.1", "--port", str(port)))
    return EmbeddedServer(on_port, f"redis://127.0.0.1:{port}/0", _ask_redis)


def embedded_milvus(folder: Path, *, prepared: bool = True) -> EmbeddedServer:
    """Milvus Lite as `fovea up` starts it, on a file that is prepared as there, not started yet."""
    port = free_port()
    if prepared:
        prepare_milvus_file(folder / "milvus.db", print)
    return EmbeddedServer(milvus_command(folder, port), f"http://127.0.0.1:{port}", _ask_milvus)


@contextmanager
def redis_server() -> Iterator[str]:
    """The URL of a Redis of our own."""
    yield from _running(embedded_redis)


@contextmanager
def milvus_lite_server() -> Iterator[str]:
    """The URI of a Milvus Lite of our own."""
    yield from _running(embedded_milvus)


@contextmanager
def milvus_standalone_server() -> Iterator[str]:
    """The URI of a real Milvus server, in a network namespace of its own because most of its ports are fixed."""
    with standalone_milvus() as server:
        server.start(STANDALONE_START_TIMEOUT_S)
        yield server.url


@contextmanager
def standalone_milvus(
    options: Sequence[str] = (), answers: Callable[[str], None] | None = None
) -> Iterator[EmbeddedServer]:
    """A real Milvus server, not started yet, that is killed at the end.

    `options` are of its launcher; with those that close it, `answers` asks it by its URL, OSError where it is not up.
    """
    with network_namespace() as (namespace, address), tempfile.TemporaryDirectory(prefix="fovea-milvus-") as folder:
        launch = "import sys, milvus; sys.argv = ['milvus-server', '--data', *sys.argv[1:]]; milvus.main()"
        argv = ("ip", "netns", "exec", namespace, sys.executable, "-c", launch, folder, *options)
        url = f"http://{address}:19530"
        server = EmbeddedServer(EmbeddedCommand(argv, {}, Path(folder)), url, answers or _ask_milvus)
        try:
            yield server
        finally:
            server.kill()


@contextmanager
def network_namespace() -> Iterator[tuple[str, str]]:
    """The name of a network namespace and the address at which this machine reaches into it.

    Skips the test where namespaces are not permitted, and fails it there when CI=true.
    """
    name = f"fovea{secrets.token_hex(4)}"
    subnet = ip_address("10.231.0.0") + 4 * secrets.randbelow(2**14)
    ours, theirs = str(subnet + 1), str(subnet + 2)
    inside = ["ip", "netns", "exec", name, "ip"]
    try:
        _run("ip", "netns", "add", name)
    except (OSError, subprocess.CalledProcessError) as error:
        _skip_unless_ci(
            f"the real Milvus server needs a network namespace, and `ip netns add` is not permitted: {error}"
        )
    try:
        _run("ip", "link", "add", name, "type", "veth", "peer", "name", "inner", "netns", name)
        _run("ip", "addr", "add", f"{ours}/30", "dev", name)
        _run("ip", "link", "set", name, "up")
        _run(*inside, "addr", "add", f"{theirs}/30", "dev", "inner")
        _run(*inside, "link", "set", "inner", "up")
        _run(*inside, "link", "set", "lo", "up")
        yield name, theirs
    finally:
        _run("ip", "netns", "del", name)


@contextmanager
def small_disk(folder: Path, mib: int) -> Iterator[Path]:
    """A file system of its own in a new folder; skips the test where mounting is not permitted, fails it when CI=true."""
    folder.mkdir()
    try:
        _run("mount", "-t", "tmpfs", "-o", f"size={mib}m", "fovea-test", str(folder))
    except (OSError, subprocess.CalledProcessError) as error:
        _skip_unless_ci(f"a small disk needs `mount`, which is not permitted: {error}")
    try:
        yield folder
    finally:
        _run("umount", "--lazy", str(folder))


def free_port() -> int:
    """A loopback port that nothing listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _running(make: Callable[[Path], EmbeddedServer]) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="fovea-") as folder:
        server = make(Path(folder))
        server.start()
        try:
            yield server.url
        finally:
            server.kill()


def _ask_redis(url: str) -> None:
    with Redis.from_url(url, socket_timeout=1) as client:
        client.ping()


def _ask_milvus(uri: str) -> None:
    host, port = uri.removeprefix("http://").split(":")
    socket.create_connection((host, int(port)), timeout=1).close()
    client = MilvusClient(uri, timeout=2)
    try:
        client.list_collections(timeout=2)
    finally:
        client.close()


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True)


def _skip_unless_ci(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
