"""Keeps the processes of a system running: starts them together, starts again what ends or hangs, stops them in order."""

import asyncio
import contextlib
import itertools
import os
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self

from cli.child import Child, Program
from cli.data_folder import DataFolder
from cli.failure import CommandFailed
from cli.probes import Probe

_START_TIMEOUT_S = 90.0
_POLL_S = 0.2
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 10.0
_STEADY_S = 30.0
# A child that leaves this many probes in a row unanswered, each for up to 5 s, hangs. Counted, not timed, because this
# process may have been stopped itself.
_PROBE_PERIOD_S = 5.0
_MISSED_PROBES = 6


class Supervisor:
    """Runs programs on a data folder while its block is entered.

    Entering waits until all are ready and raises CommandFailed when one cannot start; leaving ends them all. `say` gets
    a line for each thing that happens later, and `changed` is called when a child got another process id. Nothing that
    the machine lacks for a while (disk, memory, processes, files) ends the keeping: such a step is tried again.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        data: DataFolder,
        *,
        say: Callable[[str], None],
        changed: Callable[[], Awaitable[None]],
    ) -> None:
        self._children = [Child(program, data) for program in programs]
        self._tell = say
        self._changed = changed
        self._has_changed = asyncio.Event()
        self._keepers: list[asyncio.Task[None]] = []

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
        keepers = [self._publish(), *map(self._keep, self._children), *map(self._watch, self._children)]
        self._keepers = [asyncio.create_task(keeper) for keeper in keepers]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    async def forever(self) -> None:
        """Wait until this task is cancelled; a keeper that fails is a bug and raises here."""
        await asyncio.gather(*self._keepers)

    def kill(self) -> None:
        """End every child at once: for a person who will not wait."""
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
                f"not ready after {_START_TIMEOUT_S:.0f} s: {names}; the first one's last words: {late[0].last_words()} "
                f"(logs: {late[0].log.parent})"
            ) from error
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def _keep(self, child: Child) -> None:
        """Start a child again whenever it ends."""
        name = child.program.name
        pauses = _pauses()
        while True:
            started_s = time.monotonic()
            how = await child.ended()
            if time.monotonic() - started_s > _STEADY_S:
                pauses = _pauses()
            self._say(f"{name} ended ({how}): starting it again")
            await asyncio.sleep(next(pauses))
            await self._until_done(f"{name} cannot be started", child.start)
            self._has_changed.set()
            try:
                await _until_ready(child)
            except CommandFailed as error:
                self._say(str(error))
            else:
                self._say(f"{name} is back")

    async def _watch(self, child: Child) -> None:
        """Kill a child that answered before and answers no more; its keeper starts it again."""
        answered_pid = missed = 0
        while True:
            pid = child.pid
            is_alive, _ = await asyncio.gather(_ask(child.program.is_alive), asyncio.sleep(_PROBE_PERIOD_S))
            if is_alive:
                answered_pid = pid
            # A process that has not answered yet is starting: search, for one, waits for its stores.
            can_hang = is_alive is False and answered_pid == child.pid and not child.has_ended
            missed = missed + 1 if can_hang else 0
            if missed == _MISSED_PROBES:
                self._say(f"{child.program.name} does not answer any more: ending it")
                child.kill()

    async def _publish(self) -> None:
        """Call `changed` after new starts, apart from the keepers because it may have to wait for room on a disk."""
        while True:
            await self._has_changed.wait()
            self._has_changed.clear()
            await self._until_done("the new process ids cannot be written", self._changed)

    async def _until_done(self, complaint: str, step: Callable[[], Awaitable[None]]) -> None:
        """Take a step, again and again while the machine does not allow it; the first failure is said."""
        for attempt, pause_s in enumerate(_pauses()):
            try:
                await step()
            except OSError as error:
                if attempt == 0:
                    self._say(f"{complaint} ({error.strerror or error}): trying again until it works")
            else:
                return
            await asyncio.sleep(pause_s)

    def _say(self, text: str) -> None:
        # Where it is written may be full or gone, which must not end what is kept running.
        with contextlib.suppress(OSError):
            self._tell(text)

    async def _stop(self) -> None:
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        by_rank = sorted(self._children, key=lambda child: -child.program.rank)
        for _, children in itertools.groupby(by_rank, key=lambda child: child.program.rank):
            await asyncio.gather(*(child.stop() for child in children))


async def _until_ready(child: Child) -> None:
    """Wait until a child can be used; CommandFailed when it ends instead."""
    while not await _ask(child.program.is_ready):
        if child.has_ended:
            raise CommandFailed(f"{child.program.name} cannot start: {child.last_words()} (log: {child.log})")
        await asyncio.sleep(_POLL_S)


async def _ask(probe: Probe) -> bool | None:
    """What a probe says; None where this process itself has no file left to ask with."""
    try:
        socket.socket().close()
        return await probe()
    except OSError:
        return None


def _pauses() -> Iterator[float]:
    """How long to wait before each new attempt, in seconds: longer and longer."""
    pause_s = _FIRST_PAUSE_S
    while True:
        yield pause_s
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
