"""A move to another encoder and a scrub as jobs: each goes through a whole collection, and may be begun again."""

from contextlib import aclosing

from services.ingest.jobs.job import Job, JobFinding, JobPhase
from services.ingest.reindexing import Reindexer
from services.ingest.scrubbing import Scrubber, ScrubProgress
from services.stores.images import ImageStore


class ReindexJobs:
    """Moves collections to other encoders."""

    def __init__(self, reindexer: Reindexer, store: ImageStore) -> None:
        self._reindexer = reindexer
        self._store = store

    async def run(self, job: Job) -> None:
        """Work until the new embeddings are served; a run that was cut off goes on where it ended."""
        order, job.phase = job.order, JobPhase.EMBEDDING
        if order.rollback and (await self._store.get(order.collection)).space != order.space:
            return  # a run before has returned already: another one would undo it
        moving = self._reindexer.reindex(
            order.collection, order.encoder, rollback=order.rollback, drop_old=order.drop_old
        )
        async with aclosing(moving) as all_progress:
            async for each in all_progress:
                job.done, job.failed, job.total = each.done_count, each.failed_count, each.total_count


class ScrubJobs:
    """Looks for damage in collections."""

    def __init__(self, scrubber: Scrubber) -> None:
        self._scrubber = scrubber

    async def run(self, job: Job) -> None:
        """Check everything; a run after another one begins anew and keeps what that one repaired."""
        job.phase = JobPhase.CHECKING
        job.findings = [each for each in job.findings if each.repaired]
        job.damaged = job.repaired
        async with aclosing(self._scrubber.scrub(job.order.collection, repair=job.order.repair)) as all_news:
            async for news in all_news:
                if isinstance(news, ScrubProgress):
                    job.done, job.total = news.checked_count, news.total_count
                else:
                    job.found(JobFinding(news.image_id, str(news.damage), news.repaired, news.detail))
