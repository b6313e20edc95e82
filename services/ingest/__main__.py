"""`python -m services.ingest`: the ingest process, from its settings to a served port."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from functools import partial

from encoders.images.libtiff import silence_libtiff
from rpc.directory import EncoderDirectory
from rpc.environment import read_settings
from rpc.logs import configure_logging
from rpc.observer import start_metrics
from rpc.security.process import PLAIN, Security
from rpc.server import AsyncServer
from rpc.signals import serve_until_signal
from rpc.tasks import end
from rpc.tracing import configure_tracing
from services.ingest.admission import ItemAdmission
from services.ingest.collections import Collections
from services.ingest.decoding import SERVICE, register
from services.ingest.growing import IndexGrowth
from services.ingest.jobs.folder import FolderJobs
from services.ingest.jobs.job import WorkKind
from services.ingest.jobs.jobs import Jobs
from services.ingest.jobs.runner import JobRunner, JobWork
from services.ingest.jobs.upkeep import ReindexJobs, ScrubJobs
from services.ingest.maintenance import Maintenance
from services.ingest.reader import ItemReader
from services.ingest.reindexing import Reindexer
from services.ingest.scrubbing import Scrubber
from services.ingest.servicer import IngestServicer
from services.ingest.settings import IngestSettings
from services.ingest.stream import Ingester
from services.ingest.upload_cleanup import UploadCleanup
from services.stores.images import ImageStore
from sources.roots import ImageRoots
from sources.uploads import Uploads
from sources.web import WebImages


@asynccontextmanager
async def ingest_server(settings: IngestSettings, security: Security = PLAIN) -> AsyncIterator[AsyncServer]:
    """A server that listens at once and serves when Milvus answers; at the end of the block it drains."""
    async with AsyncServer(settings, services=[SERVICE], security=security) as server, AsyncExitStack() as stack:
        directory = EncoderDirectory(settings.encoders, security)
        stack.push_async_callback(directory.close)
        await directory.start()
        store = await ImageStore.open_when_up(settings.milvus_uri, settings.redis_url)
        stack.push_async_callback(store.close)
        uploads = Uploads(settings.uploads) if settings.uploads else None
        roots = ImageRoots(settings.roots)
        admission = _admission(settings, roots, uploads)
        stack.callback(admission.close)
        cleanup = UploadCleanup(store, uploads) if uploads else None
        maintenance = Maintenance(store, cleanup, sweep_period_s=settings.sweep_period_s, quiet_s=settings.quiet_s)
        ingester = Ingester(store=store, directory=directory, admission=admission, settings=settings)
        reindexer = Reindexer(store=store, directory=directory, admission=admission, settings=settings)
        scrubber = Scrubber(store=store, ingester=ingester, admission=admission)
        folders = FolderJobs(roots=roots, ingester=ingester, store=store, maintenance=maintenance)
        works: dict[WorkKind, JobWork] = {
            WorkKind.INGEST: folders,
            WorkKind.REINDEX: ReindexJobs(reindexer, store),
            WorkKind.SCRUB: ScrubJobs(scrubber),
        }
        runner = JobRunner(store.jobs, works, max_running=settings.max_jobs)
        jobs = Jobs(store=store, folders=folders, reindexer=reindexer, runner=runner, max_running=settings.max_jobs)
        servicer = IngestServicer(
            ingester=ingester,
            collections=Collections(store, directory),
            store=store,
            maintenance=maintenance,
            reindexer=reindexer,
            scrubber=scrubber,
            jobs=jobs,
            max_time_s=settings.max_time_s,
        )
        growth = IndexGrowth(store, period_s=settings.sweep_period_s)
        running = {"maintenance": maintenance.run(), "jobs": runner.run(), "index growth": growth.run()}
        for name, coroutine in running.items():
            stack.push_async_callback(end, asyncio.create_task(coroutine, name=name))

        async def is_ready() -> bool:
            await store.ping()
            return True

        async with server.offering(partial(register, servicer), is_ready):
            with closing(jobs):
                yield server


def _admission(settings: IngestSettings, roots: ImageRoots, uploads: Uploads | None) -> ItemAdmission:
    reader = ItemReader(
        roots,
        uploads,
        settings.max_image_mib << 20,
        keeps_exif=settings.exif,
        keeps_location=settings.exif_location,
    )
    web = WebImages(settings.url_mib << 20, timeout_s=settings.url_timeout_s) if settings.urls else None
    return ItemAdmission(
        reader,
        web,
        threads=settings.read_threads,
        max_bytes=settings.mib_in_flight << 20,
        max_items=settings.items_in_flight,
    )


if __name__ == "__main__":
    settings, security = read_settings(IngestSettings), Security.read()
    security.require_protected_server("FOVEA_INGEST_ADDRESS", settings.address)
    configure_logging(settings.log_level)
    configure_tracing("ingest")
    silence_libtiff()
    start_metrics(settings.address, settings.metrics_port)
    asyncio.run(serve_until_signal(ingest_server(settings, security)))
