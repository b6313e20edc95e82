import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from rpc.deadline import Deadline
from rpc.errors import InvalidArgument, Unavailable
from rpc.tasks import end
from services.ingest.jobs.job import Job, JobFinding, JobOrder, WorkKind, WorkState, job_of
from services.ingest.jobs.runner import MAX_FRUITLESS, JobRunner
from services.stores.redis.catalog import RedisCatalog
from services.stores.redis.jobs import MAX_KEPT, JobCatalog


@pytest.fixture
async def catalog(redis_url: str) -> AsyncIterator[JobCatalog]:
    """The jobs in Redis."""
    redis = RedisCatalog.open(redis_url)
    yield redis.jobs()
    await redis.close()


class Work:
    """Work of a test."""

    def __init__(self, run: Callable[[Job], Awaitable[None]]) -> None:
        self._run = run

    async def run(self, job: Job) -> None:
        """Do it."""
        await self._run(job)


@asynccontextmanager
async def running(catalog: JobCatalog, run: Callable[[Job], Awaitable[None]]) -> AsyncIterator[None]:
    """A process that runs jobs."""
    runner = JobRunner(catalog, dict.fromkeys(WorkKind, Work(run)), max_running=2)
    task = asyncio.create_task(runner.run())
    try:
        yield
    finally:
        await end(task)


async def new_job(catalog: JobCatalog, *, fruitless: int = 0) -> Job:
    order = JobOrder(kind=WorkKind.INGEST, collection="photos", folder="/photos", exclude=("*.png",))
    job = Job(id=uuid.uuid4().hex, order=order, create_time_s=time.time(), fruitless=fruitless)
    await catalog.add(job.id, job.as_bytes(), job.create_time_s, soon())
    return job


async def read(catalog: JobCatalog, job_id: str) -> Job:
    data = await catalog.read(job_id, soon())
    assert data is not None
    return job_of(data)


async def final(catalog: JobCatalog, job_id: str) -> Job:
    async with asyncio.timeout(30):
        while True:
            job = await read(catalog, job_id)
            if job.is_final and job_id not in await catalog.open_ids(soon()):
                return job
            await asyncio.sleep(0.05)


def soon() -> Deadline:
    return Deadline.after(10)


async def nothing(job: Job) -> None:
    job.done = 1


async def for_ever(job: Job) -> None:
    await asyncio.Event().wait()


def test_a_job_is_kept_whole() -> None:
    """What is read is what was kept."""
    order = JobOrder(kind=WorkKind.SCRUB, collection="photos", repair=True, exclude=("a", "b"))
    job = Job(id="1", order=order, create_time_s=1.5, last_uri="/a", seconds=0.25)
    job.missed_image("/b", InvalidArgument("it cannot be decoded"))
    job.found(JobFinding("id", "record without rows", repaired=True, detail=""))

    assert job_of(job.as_bytes()) == job


@pytest.mark.parametrize(
    ("error", "detail"),
    [(InvalidArgument("the folder is a file"), "is a file"), (RuntimeError("secret"), "internal error")],
)
async def test_a_job_that_breaks_has_failed(catalog: JobCatalog, error: Exception, detail: str) -> None:
    """A job whose work raises ends as failed, with a sentence and without internals."""

    async def fail(_: Job) -> None:
        raise error

    async with running(catalog, fail):
        job = await final(catalog, (await new_job(catalog)).id)

    assert job.state is WorkState.FAILED
    assert detail in job.detail
    assert "secret" not in job.detail


async def test_what_is_away_is_waited_for(catalog: JobCatalog) -> None:
    """A store that comes back in a moment fails no job."""
    attempts = 0

    async def second_time(job: Job) -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise Unavailable("Milvus is away")
        job.done = 1

    async with running(catalog, second_time):
        job = await final(catalog, (await new_job(catalog)).id)

    assert (job.state, job.done, attempts) == (WorkState.DONE, 1, 2)


async def test_a_running_job_is_cancelled(catalog: JobCatalog) -> None:
    """Whoever runs it learns of it, and the job says that what was taken stays."""
    started = asyncio.Event()

    async def wait(job: Job) -> None:
        job.done = 3
        started.set()
        await for_ever(job)

    async with running(catalog, wait):
        job_id = (await new_job(catalog)).id
        await started.wait()
        await catalog.ask_to_cancel(job_id, soon())
        job = await final(catalog, job_id)

    assert (job.state, job.done) == (WorkState.CANCELLED, 3)
    assert "stays in the collection" in job.detail


async def test_a_job_goes_on_in_another_process(catalog: JobCatalog) -> None:
    """A process that ends leaves the job as it was, and the next one begins there."""
    begun = asyncio.Event()

    async def half(job: Job) -> None:
        job.done, job.last_uri = 5, "/e"
        begun.set()
        await for_ever(job)

    async def rest(job: Job) -> None:
        assert job.last_uri == "/e"
        job.done += 2

    async with running(catalog, half):
        job_id = (await new_job(catalog)).id
        await begun.wait()
    assert (await read(catalog, job_id)).state is WorkState.RUNNING
    async with running(catalog, rest):
        job = await final(catalog, job_id)

    assert (job.state, job.done) == (WorkState.DONE, 7)


async def test_two_processes_never_run_one_job(catalog: JobCatalog) -> None:
    """The one that holds it runs it; the other waits for the next."""
    runs: list[str] = []

    async def once(job: Job) -> None:
        runs.append(job.id)
        await asyncio.sleep(1.5)  # longer than a process needs to look for jobs

    async with running(catalog, once), running(catalog, once):
        jobs = [await new_job(catalog) for _ in range(3)]
        for job in jobs:
            await final(catalog, job.id)

    assert sorted(runs) == sorted(job.id for job in jobs)


async def test_a_job_that_ends_its_process_is_given_up(catalog: JobCatalog) -> None:
    """An image that ends every process that reads it must not do so for ever."""
    job_id = (await new_job(catalog, fruitless=MAX_FRUITLESS)).id
    async with running(catalog, nothing):
        job = await final(catalog, job_id)

    assert job.state is WorkState.FAILED
    assert "times before anything was done" in job.detail


async def test_only_the_last_hundred_are_remembered(catalog: JobCatalog) -> None:
    """Those that run are never forgotten."""
    oldest = await new_job(catalog)
    ended = [await new_job(catalog) for _ in range(MAX_KEPT + 2)]
    for job in ended:
        await catalog.close(job.id, soon())
    newest = await new_job(catalog)
    kept = {job_of(data).id for data in await catalog.all(soon())}
    for job in (oldest, newest):
        await catalog.close(job.id, soon())

    assert {oldest.id, newest.id, *(job.id for job in ended[2:])} <= kept
    assert ended[0].id not in kept
