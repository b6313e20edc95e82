"""Connections of the commands to the running services; failures inside a block are ServiceErrors."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fovea.ingest.v1 import ingest_pb2_grpc
from fovea.search.v1 import search_pb2_grpc
from rpc.channel import open_channel
from rpc.clients import EncoderClient
from rpc.errors import service_errors

CALL_TIMEOUT_S = 60.0


@asynccontextmanager
async def search_service(address: str) -> "AsyncIterator[search_pb2_grpc.SearchServiceAsyncStub]":
    """The search service at an address."""
    async with open_channel(address) as channel:
        with service_errors("search"):
            yield search_pb2_grpc.SearchServiceStub(channel)


@asynccontextmanager
async def ingest_service(address: str) -> "AsyncIterator[ingest_pb2_grpc.IngestServiceAsyncStub]":
    """The ingest service at an address."""
    async with open_channel(address) as channel:
        with service_errors("ingest"):
            yield ingest_pb2_grpc.IngestServiceStub(channel)


@asynccontextmanager
async def encoder_service(address: str) -> AsyncIterator[EncoderClient]:
    """The encoder process at an address."""
    async with open_channel(address) as channel:
        yield EncoderClient(channel)
