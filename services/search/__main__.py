"""`python -m services.search`: the search process, from its settings to a served port."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fovea.search.v1 import search_pb2, search_pb2_grpc
from rpc.directory import EncoderDirectory
from rpc.environment import read_settings
from rpc.logs import configure_logging
from rpc.observer import start_metrics
from rpc.server import AsyncServer
from services.search.embedding import QueryEmbedder
from services.search.embedding_cache import EmbeddingCache
from services.search.encoding import PartEncoder
from services.search.planner import PartPlanner
from services.search.searcher import Searcher
from services.search.servicer import SearchServicer
from services.search.settings import SearchSettings
from services.stores.images import ImageStore

SERVICE = search_pb2.DESCRIPTOR.services_by_name["SearchService"].full_name


@asynccontextmanager
async def search_server(settings: SearchSettings) -> AsyncIterator[AsyncServer]:
    """The server and its dependencies, not started yet."""
    directory = EncoderDirectory(settings.encoders)
    await directory.start()
    store = await ImageStore.open_when_up(settings.milvus_uri, settings.redis_url)
    encoder = PartEncoder(EmbeddingCache(settings.embedding_cache_mib << 20))
    searcher = Searcher(store, QueryEmbedder(PartPlanner(directory, store), encoder))
    servicer = SearchServicer(searcher, max_time_s=settings.max_time_s, max_message_bytes=settings.max_message_bytes)

    async def is_ready() -> bool:
        await store.ping_milvus()
        return True

    register = partial(search_pb2_grpc.add_SearchServiceServicer_to_server, servicer)
    try:
        yield AsyncServer(settings, services=[SERVICE], register=register, is_ready=is_ready)
    finally:
        await store.close()
        await directory.close()


async def main(settings: SearchSettings) -> None:
    """Serves until SIGTERM."""
    async with search_server(settings) as server:
        await server.run()


if __name__ == "__main__":
    settings = read_settings(SearchSettings)
    configure_logging(settings.log_level)
    start_metrics(settings.address, settings.metrics_port)
    asyncio.run(main(settings))
