import json
import os
import signal
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

from tests.gateway.system import System
from tests.support.images import encoded, plain
from tests.support.processes import Server, eventually, server_process

IMAGES = 1200


def test_a_job_goes_on_after_kill_9_of_ingest_and_a_restart_of_the_gateway(
    system: System, milvus_lite_uri: str, redis_url: str, tmp_path: Path
) -> None:
    """No image is lost and none is taken twice, and every image is counted once."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(IMAGES):
        (photos / f"{number:04}.png").write_bytes(encoded(plain("red", (8 + number % 600, 8 + number // 600))))
    stores = {"encoders": [system.encoder], "milvus_uri": milvus_lite_uri, "redis_url": redis_url}
    address, name = _free_address(), f"restarted_{os.getpid()}"
    with ExitStack() as stack:

        def ingest(log: str) -> Server:
            (tmp_path / log).mkdir()
            settings: dict[str, Any] = {**stores, "address": address, "roots": [str(tmp_path)]}
            return stack.enter_context(server_process(tmp_path / log, "ingest", **settings))

        def gateway(log: str) -> Server:
            (tmp_path / log).mkdir()
            return stack.enter_context(server_process(tmp_path / log, "gateway", port=0, ingest=address, encoders=[]))

        first, asked = ingest("first"), gateway("asked")
        with httpx.Client(base_url=f"http://{asked.address}/api/v1", timeout=30) as http:
            http.post("/collections", json={"name": name, "encoder": "tiny"}).raise_for_status()
            job_id = http.post(f"/collections/{name}/ingest", json={"folder": str(photos)}).json()["id"]
            eventually(lambda: http.get(f"/jobs/{job_id}").json()["done"] > IMAGES // 8)
            with http.stream("GET", f"/jobs/{job_id}/events") as events:
                assert next(events.iter_lines()) == "event: progress"
                asked.process.terminate()
                assert asked.process.wait(timeout=4) == 0  # a gateway with followers need not be killed
            first.process.send_signal(signal.SIGKILL)
            first.process.wait()
        ingest("second")
        with httpx.Client(base_url=f"http://{gateway('other').address}/api/v1", timeout=60) as http:
            before = http.get(f"/jobs/{job_id}").json()
            assert before["state"] == "running"
            assert IMAGES // 8 < before["done"] < IMAGES
            final = _followed(http, job_id)
            collection = http.get(f"/collections/{name}").json()
            http.delete(f"/collections/{name}")

    assert (final["state"], final["done"], final["failed"], final["total"]) == ("done", IMAGES, 0, IMAGES), final
    assert final["added"] + final["unchanged"] == IMAGES
    assert final["added"] >= before["done"]
    assert (collection["image_count"], collection["region_count"]) == (IMAGES, IMAGES)


def _followed(http: httpx.Client, job_id: str) -> dict[str, Any]:
    """The final state."""
    with http.stream("GET", f"/jobs/{job_id}/events") as response:
        lines = [line for line in response.iter_lines() if line.startswith("data: ")]
    last: dict[str, Any] = json.loads(lines[-1].removeprefix("data: "))
    return last


def _free_address() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"
