"""Metadata that is nested too deep fails its own item; the stream and the other items go on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from google.protobuf.struct_pb2 import Value

from fovea.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from rpc.channel import open_channel
from rpc.errors import InvalidArgument
from services.ingest.__main__ import ingest_server
from services.ingest.decoding import request_of
from services.ingest.messages import item_of
from services.ingest.settings import IngestSettings
from tests.support.images import encoded, plain
from tests.support.services import Stores, create

RED = encoded(plain("red"))
INGEST = "/fovea.ingest.v1.IngestService/Ingest"


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field in wire format."""
    length, digits = len(content), bytearray()
    while length > 0x7F:
        digits.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([number << 3 | 2, *digits, length]) + content


def request(uri: str, levels: int) -> bytes:
    """An item with metadata of so many levels, which no library would write."""
    value = Value(number_value=1).SerializeToString()
    metadata = b""
    for _ in range(levels):
        metadata = field(1, field(1, b"a") + field(2, value))
        value = field(5, metadata)
    return field(2, field(1, uri.encode()) + field(2, RED) + field(3, metadata))


@pytest.mark.parametrize("levels", [17, 32, 33, 34, 50, 2000])
def test_depth_is_a_fault_of_the_item(levels: int) -> None:
    """Whether protobuf can decode it or not, the item keeps its uri and says what is wrong with it."""
    item = request_of(request("deep", levels)).item
    assert item.uri == "deep"
    with pytest.raises(InvalidArgument, match=r"^item\.metadata.*: it is nested deeper than 16 levels"):
        item_of(item)


def test_what_can_be_decoded_is_untouched() -> None:
    """The first message names the collection; 16 levels are read as they are."""
    message = ingest_pb2.IngestRequest(collection="photos").SerializeToString() + request("fine", 16)
    assert request_of(message) == ingest_pb2.IngestRequest.FromString(message)
    assert item_of(request_of(message).item).image == RED


async def test_a_deep_item_fails_alone(stores: Stores, encoder: str, name: str, tmp_path: Path) -> None:
    """Items before and after one that is too deep are added."""
    settings = IngestSettings(
        milvus_uri=stores.milvus_uri, redis_url=stores.redis_url, encoders=(encoder,), uploads=tmp_path
    )

    async def messages() -> AsyncIterator[bytes]:
        yield ingest_pb2.IngestRequest(collection=name).SerializeToString()
        for uri, levels in (("before", 1), ("too deep", 17), ("far too deep", 40), ("behind", 16)):
            yield request(uri, levels)

    async with ingest_server(settings) as server, open_channel(f"127.0.0.1:{server.port}") as channel:
        await create(ingest_pb2_grpc.IngestServiceStub(channel), name)
        call = channel.stream_stream(INGEST, bytes, response_deserializer=ingest_pb2.IngestResponse.FromString)
        answers = {answer.uri: answer async for answer in call(messages())}

    assert {uri for uri, answer in answers.items() if not answer.HasField("error")} == {"before", "behind"}
    assert all("16 levels" in answers[uri].error.message for uri in ("too deep", "far too deep"))
