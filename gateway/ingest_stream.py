"""The ingest stream as an iterator: items in, a result for each out."""

from collections.abc import AsyncIterator, Iterable

from fovea.ingest.v1 import ingest_pb2
from gateway.backends import Backends, Call
from rpc.errors import service_errors


async def ingest(
    backends: Backends, collection: str, items: Iterable[ingest_pb2.Item], call: Call
) -> AsyncIterator[ingest_pb2.IngestResponse]:
    """Results in order of completion; the stream's own flow control holds the items back."""

    async def requests() -> AsyncIterator[ingest_pb2.IngestRequest]:
        # By itself, because there may be no item.
        yield ingest_pb2.IngestRequest(collection=collection)
        for item in items:
            yield ingest_pb2.IngestRequest(item=item)

    stream = backends.ingest.Ingest(requests(), timeout=call.timeout_s, metadata=call.metadata)
    try:
        with service_errors("ingest"):
            async for response in stream:
                yield response
    finally:
        stream.cancel()
