"""The running services as the commands call them; failures inside a block are ServiceErrors."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import TypeAlias

from cli.errors import CommandFailed
from fovea.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from fovea.search.v1 import search_pb2_grpc
from rpc.channel import open_channel
from rpc.environment import read_settings
from rpc.errors import service_errors
from rpc.security.process import Security
from rpc.security.settings import SecuritySettings
from rpc.security.watched_files import UnusableFile

# Only the type stubs have these classes.
IngestStub: TypeAlias = "ingest_pb2_grpc.IngestServiceAsyncStub"
SearchStub: TypeAlias = "search_pb2_grpc.SearchServiceAsyncStub"

CALL_TIMEOUT_S = 60.0


class Mode(StrEnum):
    """What a row of a collection stands for."""

    WHOLE_IMAGE = "whole-image"
    OBJECTS = "objects"


MODES = {
    Mode.WHOLE_IMAGE: ingest_pb2.COLLECTION_MODE_WHOLE_IMAGE,
    Mode.OBJECTS: ingest_pb2.COLLECTION_MODE_OBJECTS,
}


def own_security() -> Security:
    """The certificates that FOVEA_TLS_… variables name; CommandFailed where they cannot be used."""
    try:
        return Security.of(read_settings(SecuritySettings))
    except UnusableFile as error:
        raise CommandFailed(str(error)) from error


@asynccontextmanager
async def search_service(address: str) -> AsyncIterator[SearchStub]:
    """The search service at an address."""
    async with open_channel(address, security=own_security()) as channel:
        with service_errors("search"):
            yield search_pb2_grpc.SearchServiceStub(channel)


@asynccontextmanager
async def ingest_service(address: str) -> AsyncIterator[IngestStub]:
    """The ingest service at an address."""
    async with open_channel(address, security=own_security()) as channel:
        with service_errors("ingest"):
            yield ingest_pb2_grpc.IngestServiceStub(channel)


async def create_collection(stub: IngestStub, collection: ingest_pb2.Collection) -> ingest_pb2.Collection:
    """Create a collection; the answer has the defaults that were chosen."""
    request = ingest_pb2.CreateCollectionRequest(collection=collection)
    with service_errors("ingest"):
        response: ingest_pb2.CreateCollectionResponse = await stub.CreateCollection(request, timeout=CALL_TIMEOUT_S)
    return response.collection


async def get_collection(stub: IngestStub, name: str) -> ingest_pb2.Collection:
    """Get a collection; NotFound where there is none."""
    request = ingest_pb2.GetCollectionRequest(name=name)
    with service_errors("ingest"):
        response: ingest_pb2.GetCollectionResponse = await stub.GetCollection(request, timeout=CALL_TIMEOUT_S)
    return response.collection
