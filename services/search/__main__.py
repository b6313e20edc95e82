"""`python -m services.search`: the search process, from its settings to a served port."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from fovea.search.v1 import search_pb2, search_pb2_grpc
from rpc.directory import EncoderDirectory
from rpc.environment import read_settings
from rpc.logs import configure_logging
from rpc.observer import start_metrics
from rpc.security.process import PLAIN, Security
from rpc.server import AsyncServer
from rpc.signals import serve_until_signal
from rpc.tracing import configure_tracing
from services.search.embedding import QueryEmbedder
from services.search.embedding_cache import EmbeddingCache
from services.search.encoding import PartEncoder
from services.search.paging import Paging
from services.search.planner import PartPlanner
from services.search.searcher import Searcher
from services.search.servicer import SearchServicer
from services.search.settings import SearchSettings
from services.stores.images import ImageStore
from sources.web import WebImages

SERVICE = search_pb2.DESCRIPTOR.services_by_name["SearchService"].full_name


@asynccontextmanager
async def search_server(settings: SearchSettings, security: Security = PLAIN) -> AsyncIterator[AsyncServer]:
    """A server that listens at once and serves when Milvus answers; at the end of the block it drains."""
    async with AsyncServer(settings, services=[SERVICE], security=security) as server, AsyncExitStack() as stack:
        directory = EncoderDirectory(settings.encoders, security)
        stack.push_async_callback(directory.close)
        await directory.start()
        store = await ImageStore.open_when_up(settings.milvus_uri, settings.redis_url)
        stack.push_async_callback(store.close)
        encoder = PartEncoder(EmbeddingCache(settings.embedding_cache_mib << 20))
        web = WebImages(settings.url_mib << 20, timeout_s=settings.url_timeout_s) if settings.urls else None
        embedder = QueryEmbedder(PartPlanner(directory, store, web), encoder)
        searcher = Searcher(store, embedder, Paging(store.kept_queries))
        servicer = SearchServicer(
            searcher, max_time_s=settings.max_time_s, max_message_bytes=settings.max_message_bytes
        )

        async def is_ready() -> bool:
            await store.ping_milvus()
            return True

        register = partial(search_pb2_grpc.add_SearchServiceServicer_to_server, servicer)
        async with server.offering(register, is_ready):
            yield server


if __name__ == "__main__":
    settings, security = read_settings(SearchSettings), Security.read()
    security.require_protected_server("FOVEA_SEARCH_ADDRESS", settings.address)
    configure_logging(settings.log_level)
    configure_tracing("search")
    start_metrics(settings.address, settings.metrics_port)
    asyncio.run(serve_until_signal(search_server(settings, security)))
