"""Jobs: work that outlives its request, with progress that anyone can follow and a final state whatever happens."""

import asyncio
import logging
import time
import uuid
from collections import Counter
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any

from rpc.errors import NotFound, Overloaded, ServiceError
from sources.file_groups import FileGroup, FilesByReason

_MAX_KEPT = 100
_MAX_FAILURES = 100
_MAX_NAMED = 20

_log = logging.getLogger(__name__)


class JobState(StrEnum):
    """How far a job is; all but RUNNING are final."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Phase(StrEnum):
    """What a job is busy with."""

    SCANNING = "scanning"
    INGESTING = "ingesting"
    PRUNING = "pruning"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Failure:
    """A picture that was not taken, and why."""

    uri: str
    reason: str


@dataclass(frozen=True, slots=True)
class JobReport:
    """A job as its route and its events show it: `done` and `failed` add up to `total`, `rate` is images a second.

    `pruned` images were deleted since their files are gone; `moved` of them live on under another name. `warnings` and
    `left_out` name the first twenty files of each reason.
    """

    id: str
    collection: str
    folder: str
    state: JobState
    phase: Phase
    detail: str
    total: int
    done: int
    added: int
    unchanged: int
    updated: int
    failed: int
    failures: tuple[Failure, ...]
    pruned: int
    moved: int
    warnings: tuple[FileGroup, ...]
    left_out: tuple[FileGroup, ...]
    rate: float
    elapsed_s: float


@dataclass(slots=True)
class Job:
    """A folder on its way into a collection. Every change wakes those who wait for one."""

    collection: str
    folder: str
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    state: JobState = JobState.RUNNING
    phase: Phase = Phase.SCANNING
    detail: str = ""
    total: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    warnings: FilesByReason = field(default_factory=FilesByReason)
    left_out: FilesByReason = field(default_factory=FilesByReason)
    _started_s: float = field(default_factory=time.monotonic)
    _ingested_s: float | None = None
    _ended_s: float | None = None
    _next_change: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_final(self) -> bool:
        """Whether nothing will change any more."""
        return self.state is not JobState.RUNNING

    @property
    def next_change(self) -> asyncio.Event:
        """Is set at the next change; take it before looking, and no change is missed."""
        return self._next_change

    def found(self, count: int) -> None:
        """More pictures were found while scanning."""
        self.total += count
        self._wake()

    def start_ingesting(self) -> None:
        """The images are known; the rate counts from here."""
        self.phase = Phase.INGESTING
        self._started_s = time.monotonic()
        self._wake()

    def start_pruning(self) -> None:
        """The images are in; the rate counts until here."""
        self.phase = Phase.PRUNING
        self._ingested_s = time.monotonic()
        self._wake()

    def succeeded(self, kind: str, uri: str = "", warnings: Iterable[str] = ()) -> None:
        """One image is in: "added", "unchanged" or "updated"."""
        self.counts[kind] += 1
        for warning in warnings:
            self.warnings.add(uri, warning)
        self._wake()

    def pruned(self, count: int, moved: int) -> None:
        """Images whose files are gone were deleted, `moved` of them because the files have another name now."""
        self.counts += Counter(pruned=count, moved=moved)
        self._wake()

    def missed(self, failure: Failure) -> None:
        """One picture was not taken; the first hundred are remembered."""
        self.counts["failed"] += 1
        if len(self.failures) < _MAX_FAILURES:
            self.failures.append(failure)
        self._wake()

    def finish(self, state: JobState, detail: str = "") -> None:
        """Nothing more will happen."""
        self.state, self.detail, self.phase = state, detail, Phase.FINISHED
        self._ended_s = time.monotonic()
        self._wake()

    def report(self) -> JobReport:
        """The job as it stands."""
        done = sum(self.counts[kind] for kind in ("added", "unchanged", "updated"))
        ended_s = self._ended_s or time.monotonic()
        ingesting_s = (self._ingested_s or ended_s) - self._started_s
        return JobReport(
            id=self.id,
            collection=self.collection,
            folder=self.folder,
            state=self.state,
            phase=self.phase,
            detail=self.detail,
            total=self.total,
            done=done,
            added=self.counts["added"],
            unchanged=self.counts["unchanged"],
            updated=self.counts["updated"],
            failed=self.counts["failed"],
            failures=tuple(self.failures),
            pruned=self.counts["pruned"],
            moved=self.counts["moved"],
            warnings=self.warnings.listed(_MAX_NAMED),
            left_out=self.left_out.listed(_MAX_NAMED),
            rate=round((done + self.counts["failed"]) / ingesting_s, 2) if ingesting_s > 0 else 0.0,
            elapsed_s=round(ended_s - self._started_s, 2),
        )

    def _wake(self) -> None:
        self._next_change.set()
        self._next_change = asyncio.Event()


class JobRegistry:
    """Runs a few jobs at once and remembers the last hundred; owns their tasks."""

    def __init__(self, max_running: int) -> None:
        self._max_running = max_running
        self._jobs: dict[str, Job] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, job: Job, work: Coroutine[Any, Any, None]) -> None:
        """Runs the work as the job's; Overloaded while too many run."""
        if len(self._tasks) >= self._max_running:
            work.close()
            raise Overloaded("too many folders are being ingested at once; wait for one to end", retry_after_s=5)
        task = asyncio.create_task(work, name=f"job-{job.id}")
        self._tasks[job.id] = task
        self._jobs[job.id] = job
        task.add_done_callback(partial(self._settle, job))
        self._forget_oldest()

    def get(self, job_id: str) -> Job:
        """The job; NotFound."""
        if job_id not in self._jobs:
            raise NotFound(f"there is no job {job_id!r}; only the last {_MAX_KEPT} are remembered")
        return self._jobs[job_id]

    def all(self) -> list[Job]:
        """Every job that is remembered, the newest first."""
        return list(reversed(self._jobs.values()))

    def cancel(self, job: Job) -> None:
        """Ends a running job; a final one stays as it is."""
        if job.id in self._tasks:
            self._tasks[job.id].cancel()

    async def close(self) -> None:
        """Cancels what runs and waits for its end."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _settle(self, job: Job, task: asyncio.Task[None]) -> None:
        """Gives the job its final state; the one place where work ends, however it ended."""
        del self._tasks[job.id]
        error = None if task.cancelled() else task.exception()
        if task.cancelled():
            job.finish(JobState.CANCELLED, "stopped before the end; what was taken stays in the collection")
        elif error is None:
            job.finish(JobState.DONE)
        elif isinstance(error, ServiceError):
            job.finish(JobState.FAILED, error.message)
        else:
            _log.error("a job failed", exc_info=error, extra={"job": job.id})
            job.finish(JobState.FAILED, "an internal error; see the gateway's log")

    def _forget_oldest(self) -> None:
        final = [job_id for job_id, job in self._jobs.items() if job.is_final]
        for job_id in final[: max(0, len(self._jobs) - _MAX_KEPT)]:
            del self._jobs[job_id]
