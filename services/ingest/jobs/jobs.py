"""The jobs of the ingest service as callers see them: started after a look at what is asked for, followed, cancelled."""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from domain.reasons import SHUTTING_DOWN
from rpc.deadline import Deadline
from rpc.errors import InvalidArgument, NotFound, Overloaded, Unavailable
from rpc.security.access import CALLER
from rpc.security.tokens import Right
from services.ingest.jobs.folder import FolderJobs
from services.ingest.jobs.job import FIRST_PHASES, Job, JobOrder, WorkKind, job_of
from services.ingest.jobs.runner import STEP_TIMEOUT_S, JobRunner
from services.ingest.reindexing import Reindexer
from services.stores.images import ImageStore
from services.stores.redis.jobs import MAX_KEPT

WATCH_PERIOD_S = 0.3
MAX_EXCLUDED, MAX_PATTERN = 100, 256


class Jobs:
    """Starts, lists, follows and cancels jobs; raises ServiceError."""

    def __init__(
        self, *, store: ImageStore, folders: FolderJobs, reindexer: Reindexer, runner: JobRunner, max_running: int
    ) -> None:
        self._store = store
        self._catalog = store.jobs
        self._folders = folders
        self._reindexer = reindexer
        self._runner = runner
        self._max_running = max_running
        self._is_closing = False

    def close(self) -> None:
        """End those who watch a job, before this process ends: another one knows the job too."""
        self._is_closing = True

    async def start(self, order: JobOrder) -> Job:
        """A new job. What is wrong with the order is raised, and then there is none."""
        collection = await self._store.get(order.collection)
        if order.kind is WorkKind.INGEST:
            await self._check_folder(order)
        elif order.kind is WorkKind.REINDEX:
            await self._check_move(order)
            order = replace(order, space=collection.space)
        if len(await self._catalog.open_ids(_soon())) >= self._max_running:
            raise Overloaded("too many jobs run at once; wait for one to end", retry_after_s=5)
        job = Job(id=uuid.uuid4().hex, order=order, create_time_s=time.time(), phase=FIRST_PHASES[order.kind])
        await self._catalog.add(job.id, job.as_bytes(), job.create_time_s, _soon())
        self._runner.wake()
        return job

    async def get(self, job_id: str) -> Job:
        """The job as it was kept last, at most a third of a second ago; NotFound, also where the caller may not read it."""
        data = await self._catalog.read(job_id, _soon())
        job = None if data is None else job_of(data)
        if job is None or not _is_readable(job):
            raise NotFound(f"there is no job {job_id[:64]!r}; only the last {MAX_KEPT} are remembered")
        return job

    async def all(self, collection: str = "") -> list[Job]:
        """All jobs that are remembered and that the caller may read, or those of a collection, the newest first."""
        jobs = [job_of(data) for data in await self._catalog.all(_soon())]
        return [job for job in jobs if collection in ("", job.order.collection) and _is_readable(job)]

    async def watch(self, job_id: str) -> AsyncGenerator[Job, None]:
        """The job at once and after each change, to its final state."""
        seen: Job | None = None
        while seen is None or not seen.is_final:
            if self._is_closing:
                raise Unavailable("the server is shutting down; ask again", reason=SHUTTING_DOWN)
            job = await self.get(job_id)
            if job != seen:
                yield job
                seen = job
            if not job.is_final:
                await asyncio.sleep(WATCH_PERIOD_S)

    async def cancel(self, job_id: str) -> Job:
        """End a job and wait for its final state; a final one stays as it is."""
        job = await self.get(job_id)
        CALLER.get().require(Right.WRITE if job.order.kind is WorkKind.INGEST else Right.ADMIN, job.order.collection)
        if not job.is_final:
            await self._catalog.ask_to_cancel(job_id, _soon())
            async with aclosing(self.watch(job_id)) as states:
                *_, job = [state async for state in states]
        return job

    async def _check_folder(self, order: JobOrder) -> None:
        if not order.folder:
            raise InvalidArgument("folder: name a folder inside the image roots")
        if len(order.exclude) > MAX_EXCLUDED or any(len(pattern) > MAX_PATTERN for pattern in order.exclude):
            raise InvalidArgument(f"exclude: at most {MAX_EXCLUDED} patterns of at most {MAX_PATTERN} characters")
        await asyncio.to_thread(lambda: self._folders.scan(order.folder, order.exclude))

    async def _check_move(self, order: JobOrder) -> None:
        """The first progress says that nothing is wrong with the order; the move itself begins behind it."""
        moving = self._reindexer.reindex(
            order.collection, order.encoder, rollback=order.rollback, drop_old=order.drop_old
        )
        async with aclosing(moving) as progress:
            await anext(progress)


def _is_readable(job: Job) -> bool:
    return CALLER.get().has(Right.READ, job.order.collection)


def _soon() -> Deadline:
    return Deadline.after(STEP_TIMEOUT_S)
