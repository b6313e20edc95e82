"""Search and ingest as processes: they wait for what is missing, tell when they are ready, and leave when asked."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from testbed.servers import embedded_milvus
from tests.support.processes import REPOSITORY
from tests.support.services import Stores

SERVING = health_pb2.HealthCheckResponse.SERVING


@contextmanager
def process(module: str, log: Path, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    prefix = f"FOVEA_{module.rsplit('.', maxsplit=1)[1].upper()}_"
    environment = os.environ | {prefix + name.upper(): value for name, value in settings.items()}
    with log.open("wb") as stream:
        running = subprocess.Popen([sys.executable, "-m", module], cwd=REPOSITORY, env=environment, stderr=stream)
    try:
        yield running
    finally:
        running.kill()
        running.wait()


async def logged(log: Path, message: str) -> dict[str, object]:
    """The first log line whose message begins so; every line is JSON."""
    while True:
        for line in lines(log):
            if str(line["message"]).startswith(message):
                return line
        await asyncio.sleep(0.02)


def lines(log: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]


async def wait_until_ready(port: object) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="readiness"))
        async for answer in watch:
            if answer.status == SERVING:
                return


@pytest.mark.parametrize("module", ["services.search", "services.ingest"])
async def test_a_process_serves_and_leaves(module: str, stores: Stores, tmp_path: Path) -> None:
    """It is ready once its stores answer, logs JSON, and ends cleanly on SIGTERM."""
    log = tmp_path / "log"
    urls = {"milvus_uri": stores.milvus_uri, "redis_url": stores.redis_url}
    with process(module, log, encoders='["127.0.0.1:1"]', **urls) as running:
        async with asyncio.timeout(60):
            await wait_until_ready((await logged(log, "serving"))["port"])
        running.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(running.wait, 10) == 0


@pytest.mark.parametrize("module", ["services.search", "services.ingest"])
async def test_a_process_that_waits_is_alive_and_ends_at_a_signal(module: str, redis_url: str, tmp_path: Path) -> None:
    """Where Milvus is away, nothing but SIGTERM ends the process."""
    log = tmp_path / "log"
    away = {"milvus_uri": "http://127.0.0.1:1", "redis_url": redis_url}
    with process(module, log, encoders="[]", **away) as running:
        async with asyncio.timeout(60):
            await logged(log, "waiting for Milvus: nothing listens")
            port = (await logged(log, "listening"))["port"]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            listed = await health_pb2_grpc.HealthStub(channel).List(health_pb2.HealthListRequest())
        alive = {name for name, answer in listed.statuses.items() if answer.status == SERVING}
        running.send_signal(signal.SIGTERM)

        assert alive == {"liveness", "startup"}
        assert await asyncio.to_thread(running.wait, 10) == 0


async def test_a_process_waits_for_its_stores(redis_url: str, tmp_path: Path) -> None:
    """Processes may start in any order: search waits for Milvus and serves as soon as it answers."""
    log = tmp_path / "log"
    milvus = embedded_milvus(tmp_path)
    try:
        with process("services.search", log, encoders="[]", milvus_uri=milvus.url, redis_url=redis_url):
            async with asyncio.timeout(60):
                await logged(log, "waiting for Milvus: nothing listens")
                await asyncio.to_thread(milvus.start)
                await wait_until_ready((await logged(log, "serving"))["port"])
    finally:
        milvus.kill()
