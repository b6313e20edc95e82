"""How the supervisor starts and stops its children, and what it survives: those that end or hang, and a poor machine."""

import asyncio
import errno
import itertools
import os
import resource
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from cli.child_process import Program
from cli.data_folder import DataFolder
from cli.errors import CommandFailed
from cli.ports import free_ports
from cli.probes import Probe, require_file_descriptor
from cli.programs import embedded_milvus, embedded_redis
from cli.supervisor import Supervisor
from tests.cli.scripts import never, nothing, recorded, script
from tests.support.processes import alive, eventually

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


def silent(data: DataFolder, *programs: Program) -> Supervisor:
    """A supervisor that prints nothing."""
    return Supervisor(programs, data, say=lambda _: None, restarted=nothing)


async def test_a_failing_start_ends_the_others(data: DataFolder) -> None:
    """When one program cannot start, its last message is the reason and nothing stays behind."""
    lasting = script("lasting", LASTING)
    failing = script("failing", "raise OSError('the disk is full')", is_ready=never)
    children = silent(data, lasting, failing)

    with pytest.raises(CommandFailed, match="failing cannot start: the disk is full"):
        await children.__aenter__()

    assert not alive(children.pids["lasting"])


async def test_a_start_without_end_names_who_is_late(data: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is not ready in time is named, with its last message."""
    monkeypatch.setattr("cli.supervisor._START_TIMEOUT_S", 1.0)
    prompt = script("prompt", LASTING)
    late = script("late", "import time; print('waiting for the stores', flush=True); time.sleep(60)", is_ready=never)

    with pytest.raises(CommandFailed, match=r"not ready after 1 s: late; .* waiting for the stores"):
        await silent(data, prompt, late).__aenter__()


async def test_higher_ranks_stop_first(data: DataFolder) -> None:
    """What uses others stops before them."""
    order = data.path / "order"
    code = (
        "import signal, sys, time; signal.signal(15, lambda *_: (open({!r}, 'a').write({!r}), sys.exit())); "
        "open({!r}, 'w'); time.sleep(60)"
    )
    programs = [script(name, code.format(str(order), name, str(data.path / name)), rank=rank)
                for name, rank in (("a", 0), ("b", 2), ("c", 1))]  # fmt: skip
    async with silent(data, *programs):
        eventually(lambda: all((data.path / name).exists() for name in "abc"))

    assert order.read_text() == "bca"


@pytest.mark.parametrize("number", FORBIDDEN, ids=errno.errorcode.get)
async def test_a_start_that_is_forbidden_is_tried_again(
    data: DataFolder, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Whatever the machine lacks, it is said once, and the child is back when the machine allows it."""
    said: list[str] = []
    async with Supervisor([script("a", LASTING)], data, say=said.append, restarted=nothing) as children:
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
    """While `run.json` cannot be written children are started again; the file is written once that is possible."""
    said: list[str] = []
    written: list[int] = []
    allowed = False

    async def write() -> None:
        if not allowed:
            raise OSError(number, os.strerror(number))
        written.append(children.pids["a"])

    children = Supervisor([script("a", LASTING)], data, say=said.append, restarted=write)
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

    async with Supervisor([script("a", LASTING)], data, say=say, restarted=nothing) as children:
        pid = kill(children, "a")
        await until(lambda: children.pids["a"] != pid)
        assert not any(task.done() for task in children._tasks)


async def test_no_files_left_is_lived_through(data: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A supervisor that may open no file starts nothing and kills nothing as hanging, until it may again."""
    refused = 0

    def counted() -> None:
        nonlocal refused
        try:
            require_file_descriptor()
        except OSError:
            refused += 1
            raise

    monkeypatch.setattr("cli.supervisor._PROBE_PERIOD_S", 0.05)
    monkeypatch.setattr("cli.supervisor.require_file_descriptor", counted)
    said: list[str] = []
    async with Supervisor(
        [embedded_redis(data.redis), script("a", LASTING)], data, say=said.append, restarted=nothing
    ) as children:
        redis = children.pids["redis"]
        with no_files_left():
            pid = kill(children, "a")
            await until(lambda: any("a cannot be started (Too many open files)" in line for line in said))
            await until(lambda: refused > 20)  # far more than the probes that a child may leave unanswered
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
    answers: list[bool] = []
    store = make(data)
    store = replace(store, is_alive=recorded(store.is_alive, answers))
    async with Supervisor([store], data, say=said.append, restarted=nothing) as children:
        await until(lambda: answers.count(True) > 1)  # the first answer has reached the supervisor
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
async def test_a_child_that_starts_or_is_busy_does_not_hang(
    data: DataFolder, monkeypatch: pytest.MonkeyPatch, is_alive: Probe
) -> None:
    """A child that has not answered yet, or answers now and then, is left alone."""
    monkeypatch.setattr("cli.supervisor._PROBE_PERIOD_S", 0.02)
    said: list[str] = []
    answers: list[bool] = []
    busy = script("a", LASTING, is_alive=recorded(is_alive, answers))
    async with Supervisor([busy], data, say=said.append, restarted=nothing):
        await until(lambda: len(answers) > 40)

    assert said == []
