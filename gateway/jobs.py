"""Jobs: work that outlives its request, with progress to follow and a final state whatever happens."""

import asyncio
import logging
import time
import uuid
from collections import Counter
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import Any, Literal, TypeAlias

from pydantic import ConfigDict

from rpc.errors import NotFound, Overloaded, ServiceError
from sources.file_groups import FileGroup, FilesByReason

_MAX_KEPT = 100
_MAX_FAILURES = 100
_MAX_NAMED = 20

_WHEN_CANCELLED = {
    "ingest": "stopped before the end; what was taken stays in the collection",
    "reindex": "stopped before the end; searches use the old embeddings, and the next call goes on",
}

IngestKind: TypeAlias = Literal["added", "unchanged", "updated"]

_log = logging.getLogger(__name__)


class JobState(StrEnum):
    """How far a job is; all but RUNNING are final."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class JobKind(StrEnum):
    """What a job does."""

    INGEST = "ingest"
    REINDEX = "reindex"


class Phase(StrEnum):
    """What a job does at the moment."""

    SCANNING = "scanning"
    INGESTING = "ingesting"
    PRUNING = "pruning"
    EMBEDDING = "embedding"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Failure:
    """An image that was not ingested, and why."""

    uri: str
    reason: str


@dataclass(slots=True)
class JobReport:
    """A job as its route and its events show it: `done` and `failed` add up to `total`, `rate` is images a second.

    Ingesting a `folder`, `done` is the sum of `added`, `unchanged` and `updated`; `pruned` images were deleted since their
    files are gone, and `moved` of them live on under another name. Objects were looked for in `searched_for_objects` images;
    `without_objects` of them have none and are embedded as a whole. `warnings` and `left_out` name the first twenty files of
    each reason. Reindexing, `done` images have their embedding of the `encoder`, which is empty for the way back.
    """

    # Every field is always sent, so the OpenAPI document calls it required.
    __pydantic_config__ = ConfigDict(json_schema_serialization_defaults_required=True)

    id: str
    collection: str
    kind: JobKind = JobKind.INGEST
    folder: str = ""
    encoder: str = ""
    state: JobState = JobState.RUNNING
    phase: Phase = Phase.SCANNING
    detail: str = ""
    total: int = 0
    done: int = 0
    added: int = 0
    unchanged: int = 0
    updated: int = 0
    failed: int = 0
    failures: list[Failure] = field(default_factory=list)
    pruned: int = 0
    moved: int = 0
    searched_for_objects: int = 0
    without_objects: int = 0
    warnings: tuple[FileGroup, ...] = ()
    left_out: tuple[FileGroup, ...] = ()
    rate: float = 0.0
    elapsed_s: float = 0.0


class Job:
    """Work on a collection: the ingest of a folder, or its move to an encoder. Every change wakes those who wait for one."""

    def __init__(
        self,
        collection: str,
        folder: str = "",
        *,
        kind: JobKind = JobKind.INGEST,
        encoder: str = "",
        left_out: FilesByReason | None = None,
    ) -> None:
        self.id = uuid.uuid4().hex
        self.collection = collection
        phase = Phase.SCANNING if kind is JobKind.INGEST else Phase.EMBEDDING
        self._report = JobReport(self.id, collection, kind, folder, encoder, phase=phase)
        self._ingested: Counter[IngestKind] = Counter()
        self._warnings = FilesByReason()
        self._left_out = left_out or FilesByReason()
        self._started_s = time.monotonic()
        self._ingested_s: float | None = None
        self._ended_s: float | None = None
        self._next_change = asyncio.Event()

    @property
    def is_final(self) -> bool:
        """Whether nothing will change any more."""
        return self._report.state is not JobState.RUNNING

    @property
    def next_change(self) -> asyncio.Event:
        """Is set at the next change; read it before the report, so that no change is missed between the two."""
        return self._next_change

    def report(self) -> JobReport:
        """The job as it is now."""
        ended_s = self._ended_s or time.monotonic()
        ingesting_s = (self._ingested_s or ended_s) - self._started_s
        return replace(
            self._report,
            added=self._ingested["added"],
            unchanged=self._ingested["unchanged"],
            updated=self._ingested["updated"],
            failures=list(self._report.failures),
            warnings=self._warnings.listed(_MAX_NAMED),
            left_out=self._left_out.listed(_MAX_NAMED),
            rate=round((self._report.done + self._report.failed) / ingesting_s, 2) if ingesting_s > 0 else 0.0,
            elapsed_s=round(ended_s - self._started_s, 2),
        )

    def found(self, count: int) -> None:
        """Counts images that the scan found."""
        self._report.total += count
        self._wake()

    def start_ingesting(self) -> None:
        """Begins the phase in which the rate is measured."""
        self._report.phase = Phase.INGESTING
        self._started_s = time.monotonic()
        self._wake()

    def start_pruning(self) -> None:
        """Ends the phase in which the rate is measured."""
        self._report.phase = Phase.PRUNING
        self._ingested_s = time.monotonic()
        self._wake()

    def succeeded(self, kind: IngestKind, uri: str, warnings: Iterable[str], object_count: int | None = None) -> None:
        """Counts an image that is in the collection now; `object_count` is None where no objects were looked for."""
        self._ingested[kind] += 1
        self._report.done += 1
        self._report.searched_for_objects += object_count is not None
        self._report.without_objects += object_count == 0
        for warning in warnings:
            self._warnings.add(uri, warning)
        self._wake()

    def missed(self, failure: Failure) -> None:
        """Counts an image that was not ingested; the first hundred are named."""
        self._report.failed += 1
        if len(self._report.failures) < _MAX_FAILURES:
            self._report.failures.append(failure)
        self._wake()

    def pruned(self, count: int, moved: int) -> None:
        """Counts images that were deleted because their files are gone, `moved` of them to another name."""
        self._report.pruned += count
        self._report.moved += moved
        self._wake()

    def embedded(self, done: int, failed: int, total: int) -> None:
        """Says how many images of a move have their embedding, cannot get one, and are there."""
        self._report.done, self._report.failed, self._report.total = done, failed, total
        self._wake()

    def finish(self, state: JobState, detail: str = "") -> None:
        """Makes the state final."""
        self._report.state, self._report.detail, self._report.phase = state, detail, Phase.FINISHED
        self._ended_s = time.monotonic()
        self._wake()

    def _wake(self) -> None:
        # An event for each change: waiters of a cleared one would sleep through a change that comes right after.
        self._next_change.set()
        self._next_change = asyncio.Event()


class JobRegistry:
    """Runs a few jobs at once and remembers the last hundred; owns their tasks."""

    def __init__(self, max_running: int) -> None:
        self._max_running = max_running
        self._jobs: dict[str, Job] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, job: Job, work: Coroutine[Any, Any, None]) -> None:
        """Runs the work of a job; raises Overloaded while too many run."""
        if len(self._tasks) >= self._max_running:
            work.close()
            raise Overloaded("too many jobs run at once; wait for one to end", retry_after_s=5)
        task = asyncio.create_task(work, name=f"job-{job.id}")
        self._tasks[job.id] = task
        self._jobs[job.id] = job
        # A callback runs even where the task is cancelled before its first step, which no `finally` inside it does.
        task.add_done_callback(partial(self._settle, job))
        self._forget_oldest()

    def get(self, job_id: str) -> Job:
        """The job; raises NotFound."""
        if job_id not in self._jobs:
            raise NotFound(f"there is no job {job_id!r}; only the last {_MAX_KEPT} are remembered")
        return self._jobs[job_id]

    def all(self) -> list[Job]:
        """All jobs that are remembered, the newest first."""
        return list(reversed(self._jobs.values()))

    def cancel(self, job: Job) -> None:
        """Ends a running job; a final one stays as it is."""
        if job.id in self._tasks:
            self._tasks[job.id].cancel()

    async def close(self) -> None:
        """Cancels all jobs that run, and waits for their end."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _settle(self, job: Job, task: asyncio.Task[None]) -> None:
        """Gives the job its final state, however its task ended."""
        del self._tasks[job.id]
        error = None if task.cancelled() else task.exception()
        if task.cancelled():
            job.finish(JobState.CANCELLED, _WHEN_CANCELLED[job.report().kind])
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
