"""`python -m services.ingest`: the ingest process, from its settings to a served port."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from encoders.libtiff import silence_libtiff
from fovea.ingest.v1 import ingest_pb2
from rpc.directory import EncoderDirectory
from rpc.environment import read_settings
from rpc.server import AsyncServer
from rpc.tasks import end
from rpc.telemetry import configure_logging, start_metrics
from services.ingest.admission import Admission
from services.ingest.collections import Collections
from services.ingest.decoding import register
from services.ingest.housekeeper import Housekeeper
from services.ingest.ingester import Ingester
from services.ingest.kept_uploads import KeptUploads
from services.ingest.reader import PictureReader
from services.ingest.servicer import IngestServicer
from services.ingest.settings import IngestSettings
from services.stores.startup import open_when_up
from sources.roots import ImageRoots
from sources.uploads import Uploads

SERVICE = ingest_pb2.DESCRIPTOR.services_by_name["IngestService"].full_name


@asynccontextmanager
async def ingest_server(settings: IngestSettings) -> AsyncIterator[AsyncServer]:
    """The server with everything behind it, not started yet."""
    directory = EncoderDirectory(settings.encoders)
    await directory.start()
    store = await open_when_up(settings.milvus_uri, settings.redis_url)
    uploads = Uploads(settings.uploads) if settings.uploads else None
    reader = PictureReader(ImageRoots(settings.roots), uploads, settings.max_image_mib << 20)
    admission = Admission(
        reader,
        threads=settings.read_threads,
        max_bytes=settings.mib_in_flight << 20,
        max_items=settings.items_in_flight,
    )
    kept = KeptUploads(store, uploads) if uploads else None
    housekeeper = Housekeeper(store, kept, sweep_period_s=settings.sweep_period_s, quiet_s=settings.quiet_s)
    servicer = IngestServicer(
        ingester=Ingester(
            store=store,
            directory=directory,
            admission=admission,
            housekeeper=housekeeper,
            settings=settings,
            uploads=uploads,
        ),
        collections=Collections(store, directory),
        store=store,
        housekeeper=housekeeper,
        max_time_s=settings.max_time_s,
    )
    keeping_house = asyncio.create_task(housekeeper.run(), name="housekeeper")

    async def is_ready() -> bool:
        await store.ping()
        return True

    try:
        yield AsyncServer(
            settings,
            services=[SERVICE],
            register=partial(register, servicer),
            is_ready=is_ready,
        )
    finally:
        await end(keeping_house)
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
