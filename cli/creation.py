"""Creating a collection, and the words in which people say what kind."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from cli.peers import CALL_TIMEOUT_S
from fovea.ingest.v1 import ingest_pb2

if TYPE_CHECKING:
    from fovea.ingest.v1 import ingest_pb2_grpc


class Mode(StrEnum):
    """What a collection's rows stand for."""

    WHOLE_IMAGE = "whole-image"
    OBJECTS = "objects"


Encoder = Annotated[str, typer.Option(metavar="NAME", help="The bundle that embeds the pictures.")]
ModeOption = Annotated[Mode, typer.Option(help="One vector for each picture, or one for each object in it.")]
Detector = Annotated[
    str, typer.Option(metavar="NAME", help="The bundle that finds objects; default: the only one served.")
]
Index = Annotated[str, typer.Option(metavar="TYPE", help="FLAT, HNSW, …; default: chosen for you.")]

_MODES = {
    Mode.WHOLE_IMAGE: ingest_pb2.COLLECTION_MODE_WHOLE_IMAGE,
    Mode.OBJECTS: ingest_pb2.COLLECTION_MODE_OBJECTS,
}


async def create_collection(
    stub: "ingest_pb2_grpc.IngestServiceAsyncStub",
    name: str,
    *,
    encoder: str,
    mode: Mode = Mode.WHOLE_IMAGE,
    detector: str = "",
    index: str = "",
) -> ingest_pb2.Collection:
    """Create a collection and answer it as it was created."""
    wanted = ingest_pb2.Collection(name=name, encoder=encoder, mode=_MODES[mode], detector=detector, index=index)
    request = ingest_pb2.CreateCollectionRequest(collection=wanted)
    response: ingest_pb2.CreateCollectionResponse = await stub.CreateCollection(request, timeout=CALL_TIMEOUT_S)
    return response.collection
