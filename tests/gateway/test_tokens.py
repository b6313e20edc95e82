"""What callers with tokens may over gRPC and over HTTP, and that nobody learns of another's collections."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from fovea.encoder.v1 import encoder_pb2, encoder_pb2_grpc
from fovea.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from fovea.oip.v2 import open_inference_pb2 as oip
from fovea.oip.v2 import open_inference_pb2_grpc as oip_grpc
from fovea.search.v1 import search_pb2, search_pb2_grpc
from tests.gateway.secured import MISSING, OTHER, OWN, Secured, one_image
from tests.support.images import encoded, plain
from tests.support.processes import eventually
from tests.support.tokens import bearer


def _stream(*requests: ingest_pb2.IngestRequest) -> Iterator[ingest_pb2.IngestRequest]:
    yield from requests


_PARTS = [search_pb2.QueryPart(image=encoded(plain("red")))]
_ITEM = ingest_pb2.Item(uri="x", image=encoded(plain("blue")))
_PATH = ingest_pb2.Item(uri="file.png")

_READ: dict[str, Callable[[str], tuple[str, str, Any]]] = {
    "search": lambda name: ("search", "Search", search_pb2.SearchRequest(collection=name, parts=_PARTS)),
    "batch": lambda name: (
        "search",
        "BatchSearch",
        search_pb2.BatchSearchRequest(collection=name, queries=[search_pb2.SearchRequest(parts=_PARTS)]),
    ),
    "facets": lambda name: ("search", "CountFacets", search_pb2.CountFacetsRequest(collection=name, fields=["x"])),
    "get": lambda name: ("ingest", "GetCollection", ingest_pb2.GetCollectionRequest(name=name)),
    "image": lambda name: ("ingest", "GetImage", ingest_pb2.GetImageRequest(collection=name, uri="x")),
    "images": lambda name: ("ingest", "ListImages", ingest_pb2.ListImagesRequest(collection=name)),
}
_WRITE: dict[str, Callable[[str], tuple[str, str, Any]]] = {
    "ingest": lambda name: ("ingest", "Ingest", _stream(ingest_pb2.IngestRequest(collection=name, item=_ITEM))),
    "delete images": lambda name: (
        "ingest",
        "DeleteImages",
        ingest_pb2.DeleteImagesRequest(collection=name, uris=["nothing"]),
    ),
}
_ADMIN: dict[str, Callable[[str], tuple[str, str, Any]]] = {
    "create": lambda name: (
        "ingest",
        "CreateCollection",
        ingest_pb2.CreateCollectionRequest(collection=ingest_pb2.Collection(name=name)),
    ),
    "update": lambda name: ("ingest", "UpdateCollection", ingest_pb2.UpdateCollectionRequest(name=name)),
    "take a name": lambda name: (
        "ingest",
        "UpdateCollection",
        ingest_pb2.UpdateCollectionRequest(name=OWN, new_name=name),
    ),
    "delete": lambda name: ("ingest", "DeleteCollection", ingest_pb2.DeleteCollectionRequest(name=name)),
    "reindex": lambda name: ("ingest", "Reindex", ingest_pb2.ReindexRequest(collection=name, encoder="another")),
    "scrub": lambda name: ("ingest", "Scrub", ingest_pb2.ScrubRequest(collection=name)),
    "start a move": lambda name: (
        "ingest",
        "StartJob",
        ingest_pb2.StartJobRequest(reindex=ingest_pb2.ReindexRequest(collection=name)),
    ),
    "start a scrub": lambda name: (
        "ingest",
        "StartJob",
        ingest_pb2.StartJobRequest(scrub=ingest_pb2.ScrubRequest(collection=name)),
    ),
}
_ALL = _READ | _WRITE | _ADMIN


async def _call(secured: Secured, caller: str, service: str, method: str, request: Any) -> tuple[str, str]:
    """The status of a call and its message."""
    address = {"search": secured.system.search, "ingest": secured.system.ingest}
    stubs: dict[str, Any] = {
        "search": search_pb2_grpc.SearchServiceStub,
        "ingest": ingest_pb2_grpc.IngestServiceStub,
        "encoder": encoder_pb2_grpc.EncoderServiceStub,
        "inference": oip_grpc.GRPCInferenceServiceStub,
    }
    async with grpc.aio.insecure_channel(address.get(service, secured.system.encoder)) as channel:
        metadata = bearer(secured.tokens[caller]) if caller else ()
        answer = getattr(stubs[service](channel), method)(request, metadata=metadata, timeout=20)
        try:
            if isinstance(answer, AsyncIterator) or hasattr(answer, "__aiter__"):
                async for _ in answer:
                    pass
            else:
                await answer
        except grpc.aio.AioRpcError as error:
            return error.code().name, str(error.details())
    return "OK", ""


@pytest.mark.parametrize("action", _ALL)
async def test_nobody_calls_without_a_token(secured: Secured, action: str) -> None:
    """Whatever the method."""
    assert (await _call(secured, "", *_ALL[action](OWN)))[0] == "UNAUTHENTICATED"


@pytest.mark.parametrize("action", _ALL)
async def test_a_token_tells_nothing_about_collections_of_others(secured: Secured, action: str) -> None:
    """One that is there and one that is not are refused with the same words, before anything is looked up."""
    code, there = await _call(secured, "admin", *_ALL[action](OTHER))
    _, missing = await _call(secured, "admin", *_ALL[action](MISSING))

    assert code == "PERMISSION_DENIED"
    assert there.replace(OTHER, "NAME") == missing.replace(MISSING, "NAME")


@pytest.mark.parametrize("action", [*_WRITE, *_ADMIN])
async def test_the_right_to_read_is_not_one_to_change(secured: Secured, action: str) -> None:
    """In the caller's own collections."""
    assert (await _call(secured, "reader", *_ALL[action](OWN)))[0] == "PERMISSION_DENIED"


@pytest.mark.parametrize("action", _ADMIN)
async def test_the_right_to_write_is_not_one_to_administer(secured: Secured, action: str) -> None:
    """In the caller's own collections."""
    assert (await _call(secured, "writer", *_ALL[action](OWN)))[0] == "PERMISSION_DENIED"


@pytest.mark.parametrize("action", [*_READ, *_WRITE])
async def test_what_a_token_allows_is_done(secured: Secured, action: str) -> None:
    """The services themselves call the encoders with a token of their own."""
    assert (await _call(secured, "writer", *_ALL[action](OWN)))[0] in ("OK", "NOT_FOUND")


async def test_files_on_the_server_need_a_right_of_their_own(secured: Secured) -> None:
    """Who may write may not read what lies below the image roots; also not in a later message."""
    first = ingest_pb2.IngestRequest(collection=OWN, item=_ITEM)
    for requests in (
        [ingest_pb2.IngestRequest(collection=OWN, item=_PATH)],
        [first, ingest_pb2.IngestRequest(item=_PATH)],
    ):
        code, message = await _call(secured, "writer", "ingest", "Ingest", _stream(*requests))
        assert (code, "may not name files" in message) == ("PERMISSION_DENIED", True)


async def test_encoders_need_a_right_of_their_own(secured: Secured) -> None:
    """Rights to collections are none to encoders, and the other way round."""
    request = encoder_pb2.EncodeRequest(encoder="tiny_text", inputs=[encoder_pb2.Input(text="red")])

    assert (await _call(secured, "encoder", "encoder", "Encode", request))[0] == "OK"
    assert (await _call(secured, "admin", "encoder", "Encode", request))[0] == "PERMISSION_DENIED"
    assert (await _call(secured, "encoder", *_READ["search"](OWN)))[0] == "PERMISSION_DENIED"
    stream = oip.ModelInferRequest(model_name="tiny_text")
    for caller, code in (("", "UNAUTHENTICATED"), ("admin", "PERMISSION_DENIED"), ("encoder", "OK")):
        assert (await _call(secured, caller, "inference", "ModelStreamInfer", iter([stream])))[0] == code


@pytest.mark.parametrize(
    ("caller", "method", "path", "status"),
    [
        ("", "GET", "/collections", 401),
        ("", "GET", f"/collections/{OWN}", 401),
        ("", "POST", f"/collections/{OWN}/search", 401),
        ("", "GET", "/encoders", 401),
        ("", "GET", "/jobs", 401),
        ("", "GET", "/nothing", 401),
        ("reader", "GET", f"/collections/{OTHER}", 403),
        ("reader", "GET", f"/collections/{MISSING}", 403),
        ("reader", "GET", f"/collections/{OTHER}/images", 403),
        ("reader", "GET", f"/collections/{OTHER}/images/{'0' * 32}/content", 403),
        ("reader", "DELETE", f"/collections/{OWN}", 403),
        ("reader", "POST", f"/collections/{OWN}/images", 403),
        ("writer", "POST", f"/collections/{OWN}/ingest", 403),
        ("writer", "POST", f"/collections/{OWN}/reindex", 403),
        ("writer", "POST", f"/collections/{OWN}/scrub", 403),
        ("reader", "POST", "/encoders/tiny/encode", 403),
        ("reader", "POST", "/detect", 403),
        ("encoder", "POST", "/encoders/tiny/encode", 200),
        ("reader", "POST", f"/collections/{OWN}/search", 200),
        ("reader", "GET", f"/collections/{OWN}/images", 200),
        ("writer", "POST", f"/collections/{OWN}/images", 200),
        ("reader", "GET", "/encoders", 200),
        ("reader", "GET", "/folders", 403),
        ("operator", "GET", "/folders", 200),
    ],
)
def test_the_gateway_answers_as_the_services_do(
    secured: Secured, caller: str, method: str, path: str, status: int
) -> None:
    """It passes the caller's token on, and never its own; problems say what is missing."""
    bodies: dict[str, dict[str, Any]] = {
        "ingest": {"json": {"folder": str(secured.system.root)}},
        "reindex": {"json": {"encoder": "another"}},
        "scrub": {"json": {}},
        "images": {"files": one_image()},
    }
    body = bodies.get(path.rpartition("/")[2], {"files": {"image": encoded(plain("red"))}}) if method == "POST" else {}

    with secured.http(caller) as http:
        answer = http.request(method, path, **body)

    assert answer.status_code == status, answer.text
    if status >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        schemes = [challenge.split()[0] for challenge in answer.headers.get_list("www-authenticate")]
        assert schemes == (["Bearer", "Basic"] if status == 401 else [])


def test_lists_have_what_the_caller_may_read(secured: Secured) -> None:
    """Collections and jobs; a job of another is one that is not there."""
    with secured.http("operator") as operator, secured.http("reader") as reader:
        assert [each["name"] for each in reader.get("/collections").json()["collections"]] == [OWN]
        assert [each["name"] for each in operator.get("/collections").json()["collections"]] == [OWN, OTHER]
        jobs = {
            name: operator.post(f"/collections/{name}/ingest", json={"folder": str(secured.system.root)}).json()["id"]
            for name in (OWN, OTHER)
        }
        assert [each["id"] for each in reader.get("/jobs").json()["jobs"]] == [jobs[OWN]]
        assert reader.get(f"/jobs/{jobs[OWN]}").status_code == 200
        for path in (jobs[OTHER], f"{jobs[OTHER]}/events", "0" * 32):
            assert reader.get(f"/jobs/{path}").status_code == 404
        assert reader.delete(f"/jobs/{jobs[OTHER]}").status_code == 404
        assert reader.delete(f"/jobs/{jobs[OWN]}").status_code == 403


@pytest.mark.parametrize(("password", "status"), [("reader", 200), ("", 401), ("wrong", 401), ("ä", 401)])
def test_a_token_may_come_as_a_password(secured: Secured, password: str, status: int) -> None:
    """Browsers ask for one themselves, under any name."""
    auth = ("anybody", secured.tokens.get(password, password))

    answer = httpx.get(f"{secured.system.url}/api/v1/collections/{OWN}", auth=auth)

    assert answer.status_code == status


def test_a_page_and_probes_need_no_token(secured: Secured) -> None:
    """Nothing of a collection is in them."""
    for path in ("/", "/docs", "/healthz", "/readyz", "/metrics", "/openapi.json"):
        answer = httpx.get(f"{secured.system.url}{path}")
        assert answer.status_code == 200, path
        assert OWN not in answer.text


def test_too_many_requests_get_the_time_to_wait(secured: Secured) -> None:
    """429 with Retry-After, for this caller alone."""
    with secured.http("eager") as eager, secured.http("reader") as reader:
        answers = [eager.get("/collections") for _ in range(3)]
        assert reader.get("/collections").status_code == 200

    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert 1 <= int(refused[0].headers["retry-after"]) <= 5
    assert refused[0].json()["reason"] == "RATE_LIMIT"


def test_no_token_and_no_hash_is_logged(secured: Secured) -> None:
    """What a caller sends stays out of every log."""
    folder = Path(secured.system.root.parent)
    with secured.http("reader") as reader:  # what was asked before has been logged before
        reader.get("/collections/none", headers={"x-request-id": "the-last-one"})
    eventually(lambda: "the-last-one" in (folder / "gateway.log").read_text())
    logs = "".join(log.read_text() for log in folder.glob("*.log"))

    assert logs
    assert all(token.rpartition("_")[2] not in logs for token in secured.tokens.values())
