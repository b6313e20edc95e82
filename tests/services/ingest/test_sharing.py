"""Streams that share one ingest server do not block each other."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from fovea.ingest.v1 import ingest_pb2
from tests.support.images import encoded, plain
from tests.support.services import Stores, add, create, ingest_stub, item

if TYPE_CHECKING:
    from fovea.ingest.v1.ingest_pb2_grpc import IngestServiceAsyncStub

RED = encoded(plain("red"))


async def statuses(ingest: "IngestServiceAsyncStub", name: str, items: Iterable[ingest_pb2.Item]) -> Counter[str]:
    """How often each status was answered in a stream of its own."""
    answers = await add(ingest, name, *items)
    return Counter(ingest_pb2.IngestStatus.Name(answer.status).removeprefix("INGEST_STATUS_") for answer in answers)


async def test_items_by_path_and_by_bytes_do_not_wait_for_each_other(
    stores: Stores, encoder: str, root: Path, name: str
) -> None:
    """Uploads fill all bytes while large files are read: all are added long before an item's time is over."""
    paths = [root / f"{number}.png" for number in range(8)]
    for path in paths:
        path.write_bytes(RED.ljust(16 << 20, b"\0"))
    upload = RED.ljust(1 << 20, b"\0")
    async with ingest_stub(stores, encoder, roots=(root,), mib_in_flight=16, item_time_s=30.0) as ingest:
        await create(ingest, name)
        by_path, by_bytes = await asyncio.gather(
            statuses(ingest, name, (item(str(path)) for path in paths)),
            statuses(ingest, name, (item(f"upload {number}", upload) for number in range(200))),
        )
    assert (by_path, by_bytes) == ({"ADDED": 8}, {"ADDED": 200})
