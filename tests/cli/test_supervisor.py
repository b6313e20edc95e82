"""What the supervisor lives through: children that end or hang, and a machine that forbids things for a while."""

import asyncio
import errno
import itertools
import os
import resource
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest

from cli.child import Program
from cli.data_folder import DataFolder
from cli.ports import free_ports
from cli.probes import Probe
from cli.programs import embedded_milvus, embedded_redis
from cli.supervisor import Supervisor
from tests.cli.parts import never, nothing, script

LASTING = "import time; time.sleep(600)"
FORBIDDEN = (errno.ENOSPC, errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EDQUOT, errno.EIO, errno.EROFS)


async def until(holds: Callable[[], bool], *, timeout_s: float = 30.0) -> None:
    """Wait until something holds, while the supervisor works."""
    async with asyncio.timeout(timeout_s):
        while not holds():  # noqa: ASYNC110 - what is waited for happens outside of this process
            await asyncio.sleep(0.02)


def kill(children: Supervisor, name: str, number: signal.Signals = signal.SIGKILL) -> int:
    """Send a signal to a child; its process id."""
    pid = children.pids[name]
    os.kill(pid, number)
    return pid


@contextmanager
def no_files_left() -> Iterator[None]:
    """A while in which this process may open no more files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def failing(step: Callable[[], Awaitable[None]], number: int, times: int = 3) -> Callable[[], Awaitable[None]]:
    """A step that the machine forbids a few times."""
    left = iter(range(times))

    async def take() -> None:
        if next(left, None) is not None:
            raise OSError(number, os.strerror(number))
        await step()

    return take


@pytest.mark.parametrize("number", FORBIDDEN, ids=errno.errorcode.get)
async def test_a_start_that_is_forbidden_is_tried_again(
    data: DataFolder, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Whatever the machine lacks, it is said once, and the child is back when the machine allows it."""
    said: list[str] = []
    async with Supervisor([script("a", LASTING)], data, say=said.append, changed=nothing) as children:
        child = children._children[0]
        monkeypatch.setattr(child, "start", failing(child.start, number))
        pid = kill(children, "a")
        await until(lambda: "a is back" in said)

    assert children.pids["a"] != pid
    assert said == [
        "a ended (killed by signal 9): starting it again",
        f"a cannot be started ({os.strerror(number)}): trying again until it works",
        "a is back",
    ]


@pytest.mark.parametrize("number", FORBIDDEN, ids=errno.errorcode.get)
async def test_a_file_that_cannot_be_written_holds_nothing_up(data: DataFolder, number: int) -> None:
    """While `run.json` cannot be written children are started again, and the file is written when that is possible."""
    said: list[str] = []
    written: list[int] = []
    allowed = False

    async def write() -> None:
        if not allowed:
            raise OSError(number, os.strerror(number))
        written.append(children.pids["a"])

    children = Supervisor([script("a", LASTING)], data, say=said.append, changed=write)
    async with children:
        for times in (1, 2):
            kill(children, "a")
            await until(lambda: said.count("a is back") == times)  # noqa: B023 - asked in this turn only
        allowed = True
        await until(lambda: bool(written))
        assert set(written) == {children.pids["a"]}

    assert sum("cannot be written" in line for line in said) == 1


async def test_a_terminal_that_is_gone_ends_nothing(data: DataFolder) -> None:
    """A line that cannot be said is lost, and nothing else."""

    def say(text: str) -> None:
        raise OSError(errno.ENOSPC, text)

    async with Supervisor([script("a", LASTING)], data, say=say, changed=nothing) as children:
        pid = kill(children, "a")
        await until(lambda: children.pids["a"] != pid)
        assert not any(keeper.done() for keeper in children._keepers)


async def test_no_files_left_is_lived_through(data: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A supervisor that may open no file starts nothing and takes nobody for hanging, until it may again."""
    monkeypatch.setattr("cli.supervisor._PROBE_PERIOD_S", 0.05)
    said: list[str] = []
    async with Supervisor(
        [embedded_redis(data.redis), script("a", LASTING)], data, say=said.append, changed=nothing
    ) as children:
        redis = children.pids["redis"]
        with no_files_left():
            pid = kill(children, "a")
            await until(lambda: any("a cannot be started (Too many open files)" in line for line in said))
            await asyncio.sleep(1)  # twenty periods in which Redis cannot be asked
            assert children.pids["a"] == pid
        await until(lambda: "a is back" in said)
        assert children.pids["redis"] == redis


Making = Callable[[DataFolder], Program]


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("redis", lambda data: embedded_redis(data.redis)),
        ("milvus", lambda data: embedded_milvus(data.milvus, *free_ports(1))),
    ],
)
async def test_a_hanging_store_is_started_again(
    data: DataFolder, monkeypatch: pytest.MonkeyPatch, name: str, make: Making
) -> None:
    """A process that is there and answers nothing is ended and started again."""
    monkeypatch.setattr("cli.supervisor._PROBE_PERIOD_S", 0.1)
    monkeypatch.setattr("cli.probes.TIMEOUT_S", 0.5)
    said: list[str] = []
    async with Supervisor([make(data)], data, say=said.append, changed=nothing) as children:
        await asyncio.sleep(1)  # it is seen alive
        pid = kill(children, name, signal.SIGSTOP)
        await until(lambda: f"{name} is back" in said)

    assert said[0] == f"{name} does not answer any more: ending it"
    assert children.pids[name] != pid


def seldom() -> Probe:
    """A probe that is answered every fifth time, as by a child that is very busy."""
    asked = itertools.count()

    async def ask() -> bool:
        return next(asked) % 5 == 0

    return ask


@pytest.mark.parametrize("is_alive", [never, seldom()], ids=["never answered", "busy"])
async def test_who_starts_or_is_busy_does_not_hang(
    data: DataFolder, monkeypatch: pytest.MonkeyPatch, is_alive: Probe
) -> None:
    """A child that has not answered yet, or answers now and then, is left alone."""
    monkeypatch.setattr("cli.supervisor._PROBE_PERIOD_S", 0.02)
    said: list[str] = []
    children = Supervisor([script("a", LASTING, is_alive=is_alive)], data, say=said.append, changed=nothing)
    async with children:
        await asyncio.sleep(0.8)  # forty periods

    assert said == []
