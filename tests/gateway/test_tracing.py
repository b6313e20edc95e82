"""One search by words and a sketch, seen in the traces and the logs of every process that worked for it."""

import json
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest

from fovea.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from tests.gateway.collector import CollectedSpan, Collector, collector
from tests.gateway.system import System, running_system
from tests.support.images import drawing, encoded

TRACE_ID, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
NAME = "traced"


@pytest.fixture(scope="module")
def searched(
    tmp_path_factory: pytest.TempPathFactory, milvus_lite_uri: str, redis_url: str
) -> Iterator[tuple[Path, Collector]]:
    """The logs and spans of a system that has answered one search and ended."""
    folder = tmp_path_factory.mktemp("traced")
    with collector() as collected, pytest.MonkeyPatch.context() as environment:
        environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collected.url)
        for process in ("GATEWAY", "SEARCH", "ENCODER", "INGEST"):
            environment.setenv(f"FOVEA_{process}_LOGGED_CALLS", "1")
        with running_system(folder, milvus_uri=milvus_lite_uri, redis_url=redis_url) as system:
            _search(system)
        yield folder, collected


def _search(system: System) -> None:
    with httpx.Client(base_url=f"{system.url}/api/v1", timeout=60) as http:
        assert http.post("/collections", json={"name": NAME, "encoder": "tiny"}).is_success
        files = [("images", ("a.png", encoded(drawing()), "image/png"))]
        assert http.post(f"/collections/{NAME}/images", files=files).is_success
        headers = {"traceparent": f"00-{TRACE_ID}-{CALLER}-01", "x-request-id": "asked-by-me"}
        answer = http.post(
            f"/collections/{NAME}/search", files={"sketch": encoded(drawing())}, data={"text": "red"}, headers=headers
        )
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-request-id"] == "asked-by-me"


def test_every_hop_is_a_child_of_the_one_before(searched: tuple[Path, Collector]) -> None:
    """The caller's span, the gateway, search, one call of each encoder with the batch that it was in, Milvus, Redis."""
    _, collected = searched

    def of(process: str, name: str) -> list[CollectedSpan]:
        return [each for each in collected.named(process, name) if each.trace_id == TRACE_ID]

    (gateway,) = of("fovea-gateway", "POST /collections/{name}/search")
    (search,) = of("fovea-search", "fovea.search.v1.SearchService/Search")
    (embedding,) = of("fovea-search", "embed_query")
    calls = of("fovea-search", "fovea.encoder.v1.EncoderService/Encode")
    encodes = of("fovea-encoder", "fovea.encoder.v1.EncoderService/Encode")
    stores = {
        each.attributes["db.system.name"]: each
        for each in collected.spans
        if each.parent_id == search.span_id and "db.system.name" in each.attributes
    }

    assert gateway.parent_id == CALLER
    assert search.parent_id == gateway.span_id
    assert embedding.parent_id == search.span_id
    assert {each.parent_id for each in calls} == {embedding.span_id}
    assert sorted(each.parent_id for each in encodes) == sorted(each.span_id for each in calls)
    assert sorted(each.attributes["fovea.model"] for each in calls) == ["tiny", "tiny_text"]
    assert set(stores) == {"milvus", "redis"}
    batches = {link for each in collected.named("fovea-encoder", "batch") for link in each.links}
    assert {each.span_id for each in encodes} <= batches
    assert len(of("fovea-gateway", "")) == 1  # FastAPI would add its own
    assert gateway.duration_ms > search.duration_ms > max(each.duration_ms for each in calls) > 0


def test_the_request_id_is_in_every_log_line(searched: tuple[Path, Collector]) -> None:
    """With the id of the trace, so that one leads to the other."""
    folder, _ = searched
    for process in ("gateway", "search", "encoder"):
        lines = map(json.loads, (folder / f"{process}.log").read_text().splitlines())
        own = [line for line in lines if line.get("request_id") == "asked-by-me"]
        assert own
        assert {line["trace_id"] for line in own} == {TRACE_ID}


def test_health_is_not_traced(searched: tuple[Path, Collector]) -> None:
    """Probes come every second, and would hide what people ask."""
    _, collected = searched
    assert not [each for each in collected.spans if "health" in each.name.lower()]


@pytest.mark.parametrize("metadata", [(), (("x-request-id", "mine"),), (("x-request-id", "x" * 70),)])
async def test_the_request_id_comes_back(system: System, metadata: tuple[tuple[str, str], ...]) -> None:
    """In the trailing metadata of an answer and of an error; a new one for callers without a harmless one."""
    async with grpc.aio.insecure_channel(system.ingest) as channel:
        stub = ingest_pb2_grpc.IngestServiceStub(channel)
        answered = stub.ListCollections(ingest_pb2.ListCollectionsRequest(), metadata=metadata)
        await answered
        refused = stub.GetCollection(ingest_pb2.GetCollectionRequest(name="none"), metadata=metadata)
        with pytest.raises(grpc.aio.AioRpcError):
            await refused

        for call in (answered, refused):
            (request_id,) = (value for key, value in await call.trailing_metadata() or () if key == "x-request-id")
            assert request_id == "mine" if metadata == (("x-request-id", "mine"),) else len(request_id) == 32
