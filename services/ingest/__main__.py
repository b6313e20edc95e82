"""`python -m services.ingest`: the ingest process, from its settings to a served port."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from encoders.images.libtiff import silence_libtiff
from rpc.directory import EncoderDirectory
from rpc.environment import read_settings
from rpc.logs import configure_logging
from rpc.observer import start_metrics
from rpc.server import AsyncServer
from rpc.tasks import end
from services.ingest.admission import ItemAdmission
from services.ingest.collections import Collections
from services.ingest.decoding import SERVICE, register
from services.ingest.maintenance import Maintenance
from services.ingest.reader import ItemReader
from services.ingest.reindexing import Reindexer
from services.ingest.servicer import IngestServicer
from services.ingest.settings import IngestSettings
from services.ingest.stream import Ingester
from services.ingest.upload_cleanup import UploadCleanup
from services.stores.images import ImageStore
from sources.roots import ImageRoots
from sources.uploads import Uploads


@asynccontextmanager
async def ingest_server(settings: IngestSettings) -> AsyncIterator[AsyncServer]:
    """The server and its dependencies, not started yet."""
    directory = EncoderDirectory(settings.encoders)
    await directory.start()
    store = await ImageStore.open_when_up(settings.milvus_uri, settings.redis_url)
    uploads = Uploads(settings.uploads) if settings.uploads else None
    admission = ItemAdmission(
        ItemReader(
            ImageRoots(settings.roots),
            uploads,
            settings.max_image_mib << 20,
            keeps_exif=settings.exif,
            keeps_location=settings.exif_location,
        ),
        threads=settings.read_threads,
        max_bytes=settings.mib_in_flight << 20,
        max_items=settings.items_in_flight,
    )
    cleanup = UploadCleanup(store, uploads) if uploads else None
    maintenance = Maintenance(store, cleanup, sweep_period_s=settings.sweep_period_s, quiet_s=settings.quiet_s)
    servicer = IngestServicer(
        ingester=Ingester(store=store, directory=directory, admission=admission, settings=settings),
        collections=Collections(store, directory),
        store=store,
        maintenance=maintenance,
        reindexer=Reindexer(store=store, directory=directory, admission=admission, settings=settings),
        max_time_s=settings.max_time_s,
    )
    maintaining = asyncio.create_task(maintenance.run(), name="maintenance")

    async def is_ready() -> bool:
        await store.ping()
        return True

    try:
        yield AsyncServer(settings, services=[SERVICE], register=partial(register, servicer), is_ready=is_ready)
    finally:
        await end(maintaining)
        admission.close()
        await store.close()
        await directory.close()


async def main(settings: IngestSettings) -> None:
    """Serves until SIGTERM."""
    async with ingest_server(settings) as server:
        await server.run()


if __name__ == "__main__":
    settings = read_settings(IngestSettings)
    configure_logging(settings.log_level)
    silence_libtiff()
    start_metrics(settings.address, settings.metrics_port)
    asyncio.run(main(settings))
