"""Keeps the processes of a system running: starts them together, restarts what ends or hangs, stops them in order."""

import asyncio
import contextlib
import itertools
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Self

from cli.child_process import ChildProcess, Program
from cli.data_folder import DataFolder
from cli.errors import CommandFailed
from cli.probes import Probe, require_file_descriptor

_START_TIMEOUT_S = 90.0
_POLL_S = 0.2
_FIRST_BACKOFF_S = 0.2
_LONGEST_BACKOFF_S = 10.0
# A child that ran for so long is restarted without the backoff of its earlier ends.
_STEADY_S = 30.0
# A child that leaves this many probes in a row unanswered, each for up to 5 s, hangs. Counted, not timed, because this
# process may have been stopped itself.
_PROBE_PERIOD_S = 5.0
_MISSED_PROBES = 6


class Supervisor:
    """Runs programs on a data folder while its block is entered.

    Entering waits until all are ready and raises CommandFailed when one cannot start; leaving stops them all. `say` gets
    a line for each later event, and `restarted` is awaited when a child got another process id. Where the machine lacks
    something for a while (disk, memory, processes, files), the step that failed is tried again.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        data: DataFolder,
        *,
        say: Callable[[str], None],
        restarted: Callable[[], Awaitable[None]],
    ) -> None:
        self.programs = programs
        self.data = data
        self._children = [ChildProcess(program, data) for program in programs]
        self._print = say
        self._restarted = restarted
        self._has_restarted = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def pids(self) -> Mapping[str, int]:
        """The process id of each program by its name, and our own."""
        return {"supervisor": os.getpid(), **{child.program.name: child.pid for child in self._children}}

    async def __aenter__(self) -> Self:
        try:
            for child in self._children:
                await child.start()
            await self._all_ready()
        except BaseException:
            await self._stop()
            raise
        work = [self._publish(), *map(self._restart, self._children), *map(self._watch, self._children)]
        self._tasks = [asyncio.create_task(task) for task in work]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()

    async def until_cancelled(self) -> None:
        """Wait until this task is cancelled; a task of the supervisor that fails is a bug and raises here."""
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*self._tasks)

    def kill(self) -> None:
        """Kill every child at once, for a second Ctrl-C."""
        for child in self._children:
            child.kill()

    async def _all_ready(self) -> None:
        waiting = [asyncio.create_task(_until_ready(child)) for child in self._children]
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                await asyncio.gather(*waiting)
        except TimeoutError as error:
            late = [child for child, task in zip(self._children, waiting, strict=True) if task.cancelled()]
            names = ", ".join(child.program.name for child in late)
            raise CommandFailed(
                f"not ready after {_START_TIMEOUT_S:.0f} s: {names}; the first one's last message: "
                f"{late[0].last_message()} (logs: {late[0].log.parent})"
            ) from error
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def _restart(self, child: ChildProcess) -> None:
        """Start a child again whenever it ends."""
        name = child.program.name
        backoff = _backoff()
        while True:
            started_s = time.monotonic()
            how = await child.wait()
            if time.monotonic() - started_s > _STEADY_S:
                backoff = _backoff()
            self._say(f"{name} ended ({how}): starting it again")
            await asyncio.sleep(next(backoff))
            await self._until_done(f"{name} cannot be started", child.start)
            self._has_restarted.set()
            try:
                await _until_ready(child)
            except CommandFailed as error:
                self._say(str(error))
            else:
                self._say(f"{name} is back")

    async def _watch(self, child: ChildProcess) -> None:
        """Kill a child that answered before and does not answer any more; `_restart` starts it again."""
        answered_pid = missed = 0
        while True:
            pid = child.pid
            is_alive, _ = await asyncio.gather(_ask(child.program.is_alive), asyncio.sleep(_PROBE_PERIOD_S))
            if is_alive:
                answered_pid = pid
            # A process that has not answered yet is starting.
            can_hang = is_alive is False and answered_pid == child.pid and not child.has_ended
            missed = missed + 1 if can_hang else 0
            if missed == _MISSED_PROBES:
                self._say(f"{child.program.name} does not answer any more: ending it")
                child.kill()

    async def _publish(self) -> None:
        """Await `restarted` after restarts, in a task of its own because it may have to wait for room on a disk."""
        while True:
            await self._has_restarted.wait()
            self._has_restarted.clear()
            await self._until_done("the new process ids cannot be written", self._restarted)

    async def _until_done(self, complaint: str, step: Callable[[], Awaitable[None]]) -> None:
        """Take a step, again and again while the machine does not allow it; the first failure is printed."""
        for attempt, backoff_s in enumerate(_backoff()):
            try:
                await step()
            except OSError as error:
                if attempt == 0:
                    self._say(f"{complaint} ({error.strerror or error}): trying again until it works")
            else:
                return
            await asyncio.sleep(backoff_s)

    def _say(self, text: str) -> None:
        # The terminal or the disk behind it may be full or closed, which must not end the supervision.
        with contextlib.suppress(OSError):
            self._print(text)

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        by_rank = sorted(self._children, key=lambda child: -child.program.rank)
        for _, children in itertools.groupby(by_rank, key=lambda child: child.program.rank):
            await asyncio.gather(*(child.stop() for child in children))


async def _until_ready(child: ChildProcess) -> None:
    """Wait until a child can be used; CommandFailed when it ends instead."""
    while not await _ask(child.program.is_ready):
        if child.has_ended:
            raise CommandFailed(f"{child.program.name} cannot start: {child.last_message()} (log: {child.log})")
        await asyncio.sleep(_POLL_S)


async def _ask(probe: Probe) -> bool | None:
    """What a probe answers; None where this process itself has no file descriptor left to ask with."""
    try:
        require_file_descriptor()
        return await probe()
    except OSError:
        return None


def _backoff() -> Iterator[float]:
    """How long to wait before each new attempt, in seconds: twice as long each time, up to a limit."""
    backoff_s = _FIRST_BACKOFF_S
    while True:
        yield backoff_s
        backoff_s = min(2 * backoff_s, _LONGEST_BACKOFF_S)
