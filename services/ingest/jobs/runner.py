"""Runs the jobs that Redis holds: those that are new, and those whose process ended before they did."""

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Protocol

from rpc.deadline import Deadline
from rpc.errors import Aborted, ServiceError
from rpc.tasks import end
from services.ingest.jobs.folder import PASSING
from services.ingest.jobs.job import Job, JobPhase, WorkKind, WorkState, job_of
from services.stores.redis.jobs import JobCatalog, Written

LOOK_PERIOD_S = 1.0
SAVE_PERIOD_S = 0.3
STEP_TIMEOUT_S = 10.0
MAX_FRUITLESS = 5  # runs of a job that end with their process before anything was done
# How long a job waits for what is away, while nothing of it can be done.
WAIT_S, LONGEST_PAUSE_S = 120.0, 10.0

_WHEN_CANCELLED = {
    WorkKind.INGEST: "stopped before the end; what was taken stays in the collection",
    WorkKind.REINDEX: "stopped before the end; searches use the old embeddings, and the next call goes on",
    WorkKind.SCRUB: "stopped before the end; what was repaired stays repaired",
}

logger = logging.getLogger(__name__)


class JobWork(Protocol):
    """What does the jobs of one kind."""

    async def run(self, job: Job) -> None:
        """Do a job, or go on with it, and keep `job` up to date; raises the ServiceError that ended it."""


class JobRunner:
    """Runs a few jobs at once; `run` it in a task of its own. What ends with the process goes on in another one."""

    def __init__(self, catalog: JobCatalog, works: Mapping[WorkKind, JobWork], *, max_running: int) -> None:
        self._catalog = catalog
        self._works = works
        self._max_running = max_running
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._new = asyncio.Event()

    def wake(self) -> None:
        """Say that there is a new job."""
        self._new.set()

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            while True:
                self._new.clear()
                await self._look()
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_PERIOD_S):
                        await self._new.wait()
        finally:
            for task in list(self._tasks.values()):
                await end(task)

    async def _look(self) -> None:
        """Start what waits; what fails is tried again with the next look, and the stores log why they are away."""
        try:
            await self._start_open()
        except ServiceError:
            logger.debug("jobs cannot be looked up now")
        except Exception:
            logger.exception("jobs cannot be looked up")

    async def _start_open(self) -> None:
        for job_id in await self._catalog.open_ids(_soon()):
            if len(self._tasks) >= self._max_running:
                return
            if job_id not in self._tasks and not await self._catalog.is_running(job_id, _soon()):
                task = asyncio.create_task(self._run(job_id), name=f"job-{job_id}")
                self._tasks[job_id] = task
                task.add_done_callback(partial(self._ended, job_id))

    def _ended(self, job_id: str, _: asyncio.Task[None]) -> None:
        del self._tasks[job_id]
        self._new.set()

    async def _run(self, job_id: str) -> None:
        """Run a job unless another process does; what fails here is tried again with the next look."""
        try:
            async with self._catalog.hold(job_id) as token:
                data = await self._catalog.read(job_id, _soon())
                if data is not None and not (job := job_of(data)).is_final:
                    await JobRun(self._catalog, self._works[job.order.kind], job, token).run()
                    if not job.is_final:
                        return  # another process has it now
                await self._catalog.close(job_id, _soon())
        except Aborted:
            pass  # another process was faster
        except ServiceError as error:
            logger.warning("a job waits: %s", error, extra={"job": job_id})
        except Exception:
            logger.exception("a job cannot be run", extra={"job": job_id})


class JobRun:
    """One run of a job that this process holds."""

    def __init__(self, catalog: JobCatalog, work: JobWork, job: Job, token: str) -> None:
        self._catalog = catalog
        self._work = work
        self._job = job
        self._token = token
        self._written_s = time.monotonic()
        self._stopped: Written | None = None
        self._begun = job.progress
        self._is_kept = False

    async def run(self) -> None:
        """Returns when the job is final and kept so, or when another process has it. Cancelled, it keeps how far it is."""
        job = self._job
        job.fruitless += 1
        await self._write()
        task = asyncio.create_task(self._settled(), name=f"work-{job.id}")
        try:
            while not task.done() and self._stopped is None:
                await asyncio.wait([task], timeout=SAVE_PERIOD_S)
                await self._save()
        finally:
            await end(task)
            if self._stopped is Written.CANCEL and not job.is_final:
                job.finish(WorkState.CANCELLED, _WHEN_CANCELLED[job.order.kind])
            if self._stopped is not Written.LOST:
                # Shielded, because it has to run also where this process ends.
                await asyncio.shield(asyncio.create_task(self._save()))
        if job.is_final:
            await self._kept_at_last()

    async def _settled(self) -> None:
        """Do the work, waiting for what is away, and give the job its final state."""
        job = self._job
        if job.fruitless > MAX_FRUITLESS:
            job.finish(WorkState.FAILED, f"the ingest process ended {MAX_FRUITLESS} times before anything was done")
            return
        try:
            await self._work_on()
        except ServiceError as error:
            job.finish(WorkState.FAILED, error.message)
        except Exception:
            logger.exception("a job failed", extra={"job": job.id})
            job.finish(WorkState.FAILED, "an internal error; see the log of the ingest service")
        else:
            job.finish(WorkState.DONE)

    async def _work_on(self) -> None:
        """Do the work; what is away is waited for, and then the work goes on where it was."""
        pause_s, done, give_up_s = 1.0, self._job.progress, time.monotonic() + WAIT_S
        while True:
            try:
                return await self._work.run(self._job)
            except PASSING as error:
                if self._job.progress != done:
                    pause_s, done, give_up_s = 1.0, self._job.progress, time.monotonic() + WAIT_S
                elif time.monotonic() > give_up_s:
                    raise
                logger.warning("a job waits: %s", error, extra={"job": self._job.id})
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _save(self) -> None:
        """Keep how far the job is; while Redis is away the work goes on."""
        self._is_kept = False
        try:
            await self._write()
            self._is_kept = True
        except ServiceError as error:
            logger.warning("a job was not kept: %s", error, extra={"job": self._job.id})

    async def _kept_at_last(self) -> None:
        """Returns when the final state is kept, which Redis may be away for."""
        while not self._is_kept:
            await asyncio.sleep(LOOK_PERIOD_S)
            await self._save()

    async def _write(self) -> None:
        job, now_s = self._job, time.monotonic()
        elapsed_s, self._written_s = now_s - self._written_s, now_s
        job.seconds += elapsed_s
        if job.phase not in (JobPhase.SCANNING, JobPhase.PRUNING):
            job.busy_s += elapsed_s
        if job.progress != self._begun:
            job.fruitless = 0
        written = await self._catalog.write(job.id, self._token, job.as_bytes(), _soon())
        if written is not Written.WRITTEN and not job.is_final:
            self._stopped = written


def _soon() -> Deadline:
    return Deadline.after(STEP_TIMEOUT_S)
