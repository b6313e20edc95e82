import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import grpc
import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Message

from fovea.ingest.v1 import jobs_pb2
from gateway.app import create_app
from gateway.problems import error_response, status_of
from gateway.settings import GatewaySettings
from rpc import errors
from tests.gateway.system import System
from tests.support.images import blocks, encoded
from tests.support.processes import server_process

Alone = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def alone() -> Alone:
    """A gateway with nothing behind it."""

    @asynccontextmanager
    async def start(**settings: object) -> AsyncIterator[httpx.AsyncClient]:
        nowhere = "127.0.0.1:1"
        values = {"search": nowhere, "ingest": nowhere, "encoders": (), "request_timeout_s": 5.0} | settings
        app = create_app(GatewaySettings.model_validate(values))
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client,
        ):
            yield client

    return start


async def test_alive_and_ready(system: System) -> None:
    """Health answers at the root and under the API."""
    async with httpx.AsyncClient(base_url=system.url) as client:
        for prefix in ("", "/api/v1"):
            assert (await client.get(f"{prefix}/healthz")).json() == {"status": "ok"}
            ready = await client.get(f"{prefix}/readyz")
            assert ready.status_code == 200
            assert ready.json()["services"] == {"search": "SERVING", "ingest": "SERVING"}
            assert (await client.get("/api/v1/encoders")).json()["processes"] == {system.encoder: True}
            assert "fovea_requests_total" in (await client.get(f"{prefix}/metrics")).text


async def test_gateway_alone_is_alive_but_not_ready(alone: Alone) -> None:
    """Without its services the gateway says so, and every route that needs one answers 503."""
    async with alone() as client:
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/readyz")).status_code == 503
        response = await client.get("/api/v1/collections")

    assert response.status_code == 503
    assert response.json()["detail"] == "the ingest service cannot be reached"


def test_sigterm_ends_the_gateway_cleanly(tmp_path: Path) -> None:
    """A gateway that was asked to stop exits with 0, also with nothing behind it."""
    with server_process(tmp_path, "gateway", port=0, encoders=[]) as gateway:
        assert httpx.get(f"http://{gateway.address}/healthz").status_code == 200
        gateway.process.terminate()

        assert gateway.process.wait(timeout=10) == 0


async def test_documentation_describes_every_route(system: System) -> None:
    """OpenAPI has the contract's routes, with the messages as schemas."""
    async with httpx.AsyncClient(base_url=system.url) as client:
        document = (await client.get("/openapi.json")).json()
        assert (await client.get("/api/v1/openapi.json")).json() == document
        assert (await client.get("/docs")).status_code == 200

    paths = {path.removeprefix("/api/v1") for path in document["paths"]}
    assert paths >= {
        "/collections",
        "/collections/{name}",
        "/collections/{name}/search",
        "/collections/{name}/images",
        "/collections/{name}/images/{image_id}",
        "/collections/{name}/images/{image_id}/content",
        "/collections/{name}/images/{image_id}/thumbnail",
        "/collections/{name}/ingest",
        "/collections/{name}/reindex",
        "/collections/{name}/scrub",
        "/jobs/{job_id}",
        "/jobs/{job_id}/events",
        "/encoders",
        "/detect",
        "/healthz",
        "/readyz",
        "/metrics",
    }
    answer = document["paths"]["/api/v1/collections/{name}/search"]["post"]["responses"]["200"]
    hit = answer["content"]["application/json"]["schema"]["properties"]["hits"]["items"]
    assert hit["properties"]["score"] == {"type": "number"}


async def test_documentation_says_what_is_answered(system: System) -> None:
    """Each operation has a name of its own and lists its problems; no 422, which no route answers."""
    async with httpx.AsyncClient(base_url=system.url) as client:
        document = (await client.get("/openapi.json")).json()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    names = [operation["operationId"] for operation in operations]

    assert sorted(names) == sorted(set(names))
    assert {"search", "upload_images", "create_collection", "get_thumbnail"} <= set(names)
    assert "HTTPValidationError" not in document["components"]["schemas"]
    for operation in operations:
        failures = {int(status): answer for status, answer in operation["responses"].items() if int(status) >= 400}
        assert 422 not in failures
        assert failures.keys() >= {421} if operation["tags"] == ["health"] else {421, 429, 500, 503, 504}
        if "requestBody" in operation:
            assert failures.keys() >= {400, 403, 408, 413, 415}
        for answer in failures.values():
            assert answer.get("content", {}).keys() <= {"application/problem+json", "application/json"}


class OneJob:
    """An ingest service that knows one job, which runs until `ended` is set."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    async def GetJob(self, request: jobs_pb2.GetJobRequest, _: object) -> jobs_pb2.GetJobResponse:
        """The job."""
        state = jobs_pb2.JOB_STATE_DONE if self.ended.is_set() else jobs_pb2.JOB_STATE_RUNNING
        kind, phase = jobs_pb2.JOB_KIND_INGEST, jobs_pb2.JOB_PHASE_SCANNING
        return jobs_pb2.GetJobResponse(job=jobs_pb2.Job(id=request.id, kind=kind, state=state, phase=phase))

    async def ListJobs(self, request: jobs_pb2.ListJobsRequest, _: object) -> jobs_pb2.ListJobsResponse:
        """Nothing."""
        return jobs_pb2.ListJobsResponse()


async def test_followers_hold_no_permits(alone: Alone) -> None:
    """Followers of a job are counted apart: with one permit, two follow and other requests are still answered."""
    server, ingest = grpc.aio.server(), OneJob()
    handlers = {
        "GetJob": grpc.unary_unary_rpc_method_handler(
            ingest.GetJob, jobs_pb2.GetJobRequest.FromString, jobs_pb2.GetJobResponse.SerializeToString
        ),
        "ListJobs": grpc.unary_unary_rpc_method_handler(
            ingest.ListJobs, jobs_pb2.ListJobsRequest.FromString, jobs_pb2.ListJobsResponse.SerializeToString
        ),
    }
    service = grpc.method_handlers_generic_handler("fovea.ingest.v1.IngestService", handlers)
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with alone(max_in_flight=1, max_followers=2, ingest=f"127.0.0.1:{port}") as client:
        app = cast("FastAPI", cast("httpx.ASGITransport", client._transport).app)
        followers = [Follower(app, "/api/v1/jobs/one/events") for _ in range(2)]
        assert [await follower.status for follower in followers] == [200, 200]

        assert (await client.get("/api/v1/jobs")).status_code == 200
        refused = await client.get("/api/v1/jobs/one/events")
        assert (refused.status_code, refused.json()["reason"]) == (429, "FOLLOWER_LIMIT")
        ingest.ended.set()
        await asyncio.gather(*(follower.task for follower in followers))
        assert (await client.get("/api/v1/jobs/one/events")).status_code == 200
    await server.stop(None)


class Follower:
    """A client that stays; httpx returns such a response only once it is complete."""

    def __init__(self, app: FastAPI, path: str) -> None:
        self.status: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        headers = [(b"host", b"localhost")]
        scope: dict[str, Any] = {"type": "http", "method": "GET", "path": path, "headers": headers}
        scope |= {
            "raw_path": path.encode(),
            "http_version": "1.1",
            "scheme": "http",
            "query_string": b"",
            "root_path": "",
            "app": app,
        }
        self.task = asyncio.create_task(app(scope, self._receive, self._send))
        self._messages: list[Message] = [{"type": "http.request", "body": b""}]

    async def _receive(self) -> Message:
        return self._messages.pop() if self._messages else await asyncio.get_running_loop().create_future()

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status.set_result(message["status"])


async def test_encoders_are_listed_with_spaces_and_modalities(http: httpx.AsyncClient) -> None:
    """Clients learn which bundles share a space, and which detectors there are."""
    served = (await http.get("/encoders")).json()

    encoders = {encoder["name"]: encoder for encoder in served["encoders"]}
    assert encoders["tiny"]["modalities"] == ["image", "sketch"]
    assert encoders["tiny_text"]["space"] == encoders["tiny"]["space"]
    assert served["detectors"][0]["labels"] == ["red", "green", "blue", "yellow"]


async def test_encoders_say_what_they_are_for(http: httpx.AsyncClient) -> None:
    """Purpose, domain, licence, languages, and which one is the default."""
    encoders = {encoder["name"]: encoder for encoder in (await http.get("/encoders")).json()["encoders"]}

    tiny = encoders["tiny"]
    assert (tiny["purpose"], tiny["domain"]) == ("Finds images of the same colours.", "coloured blocks")
    assert (tiny["license"], encoders["tiny_text"]["languages"]) == ("Apache-2.0", ["en"])
    assert {name: encoder["is_default"] for name, encoder in encoders.items()} == {
        "another": False,
        "former": False,
        "tiny": True,
        "tiny_text": False,
    }


async def test_objects_are_detected(http: httpx.AsyncClient) -> None:
    """The detection route gives boxes in normalized coordinates."""
    scene = encoded(blocks({"red": (0.25, 0.25, 0.75, 0.75)}))
    answer = (await http.post("/detect", files={"image": ("scene.png", scene)})).json()

    assert answer["detector"] == "tiny_detector"
    assert [detection["label"] for detection in answer["detections"]] == ["red"]
    assert answer["detections"][0]["box"]["x_min"] == pytest.approx(0.25, abs=0.05)
    assert (answer["width_px"], answer["height_px"]) == (160, 120)


async def test_detection_refuses_what_it_cannot_use(http: httpx.AsyncClient) -> None:
    """No image, a broken one, an unknown detector."""
    assert (await http.post("/detect")).status_code == 415
    assert (await http.post("/detect", data={"limit": "1"})).status_code == 400
    assert (await http.post("/detect", files={"image": ("q.png", b"<html>")})).status_code == 415
    unknown = await http.post("/detect", files={"image": ("q.png", b"x")}, data={"detector": "nobody"})
    assert unknown.status_code == 404


async def test_cors_is_off_unless_configured(alone: Alone) -> None:
    """Other pages may read answers only where an operator said so."""
    asked = {"origin": "https://shop.example", "access-control-request-method": "POST"}
    async with alone() as client:
        assert "access-control-allow-origin" not in (await client.get("/healthz", headers=asked)).headers
    async with alone(cors_origins=("https://shop.example",)) as client:
        allowed = await client.options("/api/v1/collections", headers=asked)
        assert allowed.headers["access-control-allow-origin"] == "https://shop.example"
        other = await client.get("/healthz", headers=asked | {"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers


async def test_page_comes_with_a_strict_policy(alone: Alone) -> None:
    """No script or style but our own files."""
    async with alone() as client:
        response = await client.get("/")
        policy = response.headers["content-security-policy"]

    assert response.headers["content-type"].startswith("text/html")
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy


async def test_unknown_addresses_are_problems(alone: Alone) -> None:
    """Also what no route knows is answered as a problem document."""
    async with alone() as client:
        for method, path, status in (("GET", "/nowhere", 404), ("PUT", "/api/v1/collections", 405)):
            response = await client.request(method, path)
            assert response.status_code == status
            assert response.headers["content-type"] == "application/problem+json"
            assert "/docs" in response.json()["detail"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InvalidArgument("x"), 400),
        (errors.OutOfRange("x"), 400),
        (errors.PermissionDenied("x"), 403),
        (errors.NotFound("x"), 404),
        (errors.AlreadyExists("x"), 409),
        (errors.Aborted("x"), 409),
        (errors.FailedPrecondition("x"), 412),
        (errors.InvalidArgument("x", reason="UNSUPPORTED_PICTURE"), 415),
        (errors.FailedPrecondition("x", reason="CHANGED_SINCE_INGEST"), 409),
        (errors.Overloaded("x"), 429),
        (errors.Internal("x"), 500),
        (errors.Unimplemented("x"), 500),
        (errors.Unavailable("x"), 503),
        (errors.DeadlineExceeded("x"), 504),
    ],
)
def test_statuses_are_the_contracts(error: errors.ServiceError, status: int) -> None:
    """Every gRPC status has its HTTP status."""
    assert isinstance(error.code, grpc.StatusCode)
    assert status_of(error) == status


def test_retry_after_is_whole_seconds() -> None:
    """HTTP knows no fraction of a second, and 0 would mean at once."""
    assert error_response(errors.Overloaded("x", retry_after_s=0.1)).headers["retry-after"] == "1"
    assert error_response(errors.Overloaded("x", retry_after_s=2.5)).headers["retry-after"] == "3"
