"""What one request may cost: bytes on the wire, decodes, and memory of the process that handles it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from domain.detection import Detection
from encoders.images.decoding import OpenedImage, open_image
from fovea.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from fovea.search.v1 import search_pb2, search_pb2_grpc
from rpc.server import ThreadServer
from services.encoder import data_plane, readers
from services.encoder.detector_servicer import DetectorServicer
from services.encoder.encoder_servicer import EncoderServicer
from services.encoder.models import Models
from services.encoder.offering import SERVICES, offering
from services.encoder.settings import EncoderSettings
from tests.services.test_processes import logged, process, wait_until_ready
from tests.support.bundles import tiny_detector_bundle, tiny_image_bundle
from tests.support.images import corners, encoded
from tests.support.services import Stores, create

OBJECTS = 100
MIB = 1 << 20
LARGE = {"grpc.max_send_message_length": 64 * MIB}


@dataclass
class Seen:
    """What reached the encoder process."""

    sent: list[int] = field(default_factory=list)
    decodes: int = 0
    priorities: set[str] = field(default_factory=set)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """Counts requests and decodes of the encoder in this process, whose detector finds 100 objects anywhere."""
    seen = Seen()

    def opened(data: bytes, **options: Any) -> OpenedImage:
        seen.decodes += 1
        return open_image(data, **options)

    def spied(method: Any) -> Any:
        def spy(servicer: Any, request: Any, context: Any) -> Any:
            seen.sent.append(request.ByteSize())
            seen.priorities.add(dict(context.invocation_metadata())["fovea-priority"])
            return method(servicer, request, context)

        return spy

    def objects(*_: Any, limit: int, **__: Any) -> list[Detection]:
        boxes = [(0.1, 0.1, 0.5, 0.2 + number / 200) for number in range(min(limit, OBJECTS))]
        return [Detection(box, "thing", 0.9, 0) for box in boxes]

    monkeypatch.setattr(readers, "open_image", opened)
    monkeypatch.setattr(data_plane, "postprocess", objects)
    monkeypatch.setattr(EncoderServicer, "Encode", spied(EncoderServicer.Encode))
    monkeypatch.setattr(DetectorServicer, "Detect", spied(DetectorServicer.Detect))
    return seen


@pytest.fixture
def address(seen: Seen, tmp_path: Path) -> Iterator[str]:
    """An encoder that is watched."""
    bundles = (tiny_image_bundle(tmp_path / "tiny"), tiny_detector_bundle(tmp_path / "tiny_detector"))
    settings = EncoderSettings(bundles=tuple(bundle.folder for bundle in bundles), provider="cpu", drain_s=1)
    with (
        Models(settings) as models,
        ThreadServer(settings, services=SERVICES) as server,
        offering(server, settings, models),
    ):
        yield f"127.0.0.1:{server.port}"


class Child:
    """A server in a process of its own, whose memory can be measured."""

    def __init__(self, channel: grpc.aio.Channel, pid: int) -> None:
        self.channel = channel
        self._status = Path(f"/proc/{pid}/status")
        self._clear = Path(f"/proc/{pid}/clear_refs")

    def forget_peak(self) -> int:
        """Starts a new peak; returns the memory in use, in bytes."""
        self._clear.write_text("5")
        return self._field("VmRSS")

    def peak(self) -> int:
        """The most memory in use since then, in bytes."""
        return self._field("VmHWM")

    def _field(self, name: str) -> int:
        (line,) = (line for line in self._status.read_text().splitlines() if line.startswith(name + ":"))
        return int(line.split()[1]) << 10


@asynccontextmanager
async def child(module: str, stores: Stores, encoder: str, tmp_path: Path) -> AsyncIterator[Child]:
    """A search or ingest process that asks one encoder."""
    log = tmp_path / f"{module}.log"
    urls = {"milvus_uri": stores.milvus_uri, "redis_url": stores.redis_url, "encoders": f'["{encoder}"]'}
    with process(module, log, **urls) as running:
        async with asyncio.timeout(120):
            port = (await logged(log, "serving"))["port"]
            await wait_until_ready(port)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=list(LARGE.items())) as channel:
            yield Child(channel, running.pid)


def bitmap(mib: int) -> bytes:
    """An image of about so many MiB."""
    return encoded(corners(size=(1024, mib * MIB // 3 // 1024)), "BMP")


async def test_an_image_with_a_hundred_objects_travels_and_is_decoded_once_for_each_model(
    stores: Stores, address: str, seen: Seen, name: str, tmp_path: Path
) -> None:
    """Ingest of 5 MiB with 100 objects: one call to the detector and one to the encoder, both bulk, in bounded memory."""
    image = bitmap(5)
    async with child("services.ingest", stores, address, tmp_path) as ingest:
        stub: Any = ingest_pb2_grpc.IngestServiceStub(ingest.channel)
        await create(stub, name, objects=True)
        await added(stub, name, "warm", encoded(corners()))
        seen.sent.clear()
        seen.decodes = 0
        before = ingest.forget_peak()

        answer = await added(stub, name, "image", image)

        assert answer.region_count == OBJECTS
        assert ingest.peak() - before < 12 * len(image)
    assert seen.decodes == len(seen.sent) == 2
    assert sum(seen.sent) < 2 * len(image) + 64 * OBJECTS
    assert seen.priorities == {"bulk"}


async def test_a_query_for_every_object_of_an_image_sends_it_once_to_each_model(
    stores: Stores, address: str, seen: Seen, name: str, tmp_path: Path
) -> None:
    """Search with `detect` on 10 MiB: one call to the detector and one to the encoder, both interactive, bounded too."""
    image = bitmap(10)
    async with child("services.ingest", stores, address, tmp_path) as ingest:
        stub: Any = ingest_pb2_grpc.IngestServiceStub(ingest.channel)
        await create(stub, name, objects=True)
        await added(stub, name, "image", encoded(corners()))
    async with child("services.search", stores, address, tmp_path) as search:
        await searched(search, name, encoded(corners()))
        seen.sent.clear()
        seen.priorities.clear()
        seen.decodes = 0
        before = search.forget_peak()

        answer = await searched(search, name, image)

        assert len(answer.query_regions) == 32
        assert search.peak() - before < 12 * len(image)
    assert seen.decodes == len(seen.sent) == 2
    assert sum(seen.sent) < 2 * len(image) + 64 * 32
    assert seen.priorities == {"interactive"}


async def added(stub: Any, name: str, uri: str, image: bytes) -> ingest_pb2.IngestResponse:
    """Ingests one image."""

    async def requests() -> AsyncIterator[ingest_pb2.IngestRequest]:
        yield ingest_pb2.IngestRequest(collection=name, item=ingest_pb2.Item(uri=uri, image=image))

    answer: ingest_pb2.IngestResponse
    (answer,) = [answer async for answer in stub.Ingest(requests(), timeout=60)]
    assert answer.status == ingest_pb2.INGEST_STATUS_ADDED, answer
    return answer


async def searched(search: Child, name: str, image: bytes) -> search_pb2.SearchResponse:
    """Asks for every object of an image."""
    stub: Any = search_pb2_grpc.SearchServiceStub(search.channel)
    part = search_pb2.QueryPart(image=image, detect=True)
    answer: search_pb2.SearchResponse = await stub.Search(
        search_pb2.SearchRequest(collection=name, parts=[part]), timeout=60
    )
    return answer
