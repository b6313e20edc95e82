"""Encoder and search processes behind two names, replaced and killed under load: `rolling.py REQUESTS`, in a network of its own.

Processes are the pods of two Deployments: each has an address of its own, a name stands for those that run, ready or not,
and one is stopped as soon as the one that takes its place is ready. Prints one line of JSON.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fovea.client import AsyncClient, Client, FoveaError
from fovea.search.v1 import search_pb2, search_pb2_grpc
from rpc.channel import open_channel
from testbed.servers import milvus_lite_server, redis_server
from tests.support.bundles import tiny_image_bundle
from tests.support.name_server import NameServer
from tests.support.processes import REPOSITORY
from tests.support.services import Stores, add, create, ingest_stub, item
from tests.support.traffic import drawn

COLLECTION = "rolling"
PORT, METRICS_PORT = 50050, 9090
CONNECTION_AGE_S = 5.0
TIMEOUT_S = 20.0
STORED = 50
SHARED_REQUESTS = 400

_HOSTS = (f"127.0.1.{number}" for number in count(1))


@dataclass
class Pod:
    """One process with an address of its own."""

    kind: str
    settings: dict[str, str]
    host: str = field(default_factory=lambda: next(_HOSTS))
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Start it; it is not ready yet."""
        values = {
            "ADDRESS": f"{self.host}:{PORT}",
            "METRICS_PORT": str(METRICS_PORT),
            "CONNECTION_AGE_S": str(CONNECTION_AGE_S),
            **self.settings,
        }
        environment = os.environ | {f"FOVEA_{self.kind}_{name}".upper(): value for name, value in values.items()}
        command = [sys.executable, "-m", f"services.{self.kind}"]
        self.process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stderr=subprocess.DEVNULL)

    async def until_ready(self) -> None:
        """Wait as a cluster's probe does."""
        request = health_pb2.HealthCheckRequest(service="readiness")
        async with grpc.aio.insecure_channel(f"{self.host}:{PORT}") as channel, asyncio.timeout(60):
            async for answer in health_pb2_grpc.HealthStub(channel).Watch(request, wait_for_ready=True):
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return

    async def end(self, number: signal.Signals) -> int:
        """Its exit status after a signal."""
        assert self.process is not None
        self.process.send_signal(number)
        return await asyncio.to_thread(self.process.wait, 60)

    async def answered(self) -> float:
        """How many searches it has answered."""
        url = f"http://{self.host}:{METRICS_PORT}/metrics"
        page = await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=20).read().decode())
        lines = (line for line in page.splitlines() if line.startswith("fovea_requests_total") and '"Search"' in line)
        return sum(float(line.split()[-1]) for line in lines)


class Deployment:
    """Pods of one kind behind one name."""

    def __init__(self, names: NameServer, kind: str, **settings: str) -> None:
        self.target = f"dns:///{kind}.test:{PORT}"
        self.pods: list[Pod] = []
        self.statuses: Counter[int] = Counter()
        self._names, self._kind, self._settings = names, kind, settings

    async def add(self) -> None:
        """One more pod, which is ready."""
        pod = Pod(self._kind, self._settings)
        self.pods.append(pod)
        self._publish()
        pod.start()
        await pod.until_ready()

    async def roll(self) -> None:
        """Replace each pod by a new one."""
        for _ in tuple(self.pods):
            await self.add()
            self.statuses[await self.pods[0].end(signal.SIGTERM)] += 1
            self.pods.pop(0)
            self._publish()

    async def crash(self) -> None:
        """Kill a pod and start it again at its address."""
        pod = self.pods[0]
        await pod.end(signal.SIGKILL)
        pod.start()
        await pod.until_ready()

    def kill(self) -> None:
        """End all of them."""
        for pod in self.pods:
            if pod.process is not None:
                pod.process.kill()
                pod.process.wait()

    def _publish(self) -> None:
        self._names.addresses = {**self._names.addresses, f"{self._kind}.test": [pod.host for pod in self.pods]}


class Load:
    """Callers without a pause: stubs on a channel of ours, and the client's on threads and on this loop."""

    def __init__(self, search: str, encoders: str) -> None:
        self.answered = 0
        self.failures: Counter[str] = Counter()
        self._images = map(drawn, count(1_000_000))
        self._targets: dict[str, Any] = {"search": search, "encoders": encoders, "timeout_s": TIMEOUT_S}
        self._search = search
        self._is_over = False

    async def until(self, count: int) -> None:
        """Wait for so many answers, failures among them."""
        while self.answered + self.failures.total() < count:  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # what is waited for has no event

    async def during(self, work: Callable[["Load"], Coroutine[Any, Any, None]]) -> None:
        """Call as long as the work takes."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(2) as threads:
            threaded = [loop.run_in_executor(threads, self._call_on_a_thread) for _ in range(2)]
            tasks = [asyncio.create_task(call()) for call in [self._call_stubs] * 4 + [self._call_client] * 2]
            try:
                await work(self)
            finally:
                self._is_over = True
                await asyncio.gather(*tasks, *threaded)

    async def _call_stubs(self) -> None:
        async with open_channel(self._search) as channel:
            stub = search_pb2_grpc.SearchServiceStub(channel)
            while not self._is_over:
                parts = [search_pb2.QueryPart(image=next(self._images))]
                with self._counted("stub"):
                    await stub.Search(search_pb2.SearchRequest(collection=COLLECTION, parts=parts), timeout=TIMEOUT_S)

    async def _call_client(self) -> None:
        async with AsyncClient(**self._targets) as client:
            while not self._is_over:
                with self._counted("async client"):
                    await client.search(COLLECTION, next(self._images))

    def _call_on_a_thread(self) -> None:
        with Client(**self._targets) as client:
            images = map(drawn, count(2_000_000))
            while not self._is_over:
                with self._counted("client"):
                    client.search(COLLECTION, next(images))
                with self._counted("client, encode"):
                    client.encode([next(images)], encoder="tiny")

    @contextmanager
    def _counted(self, caller: str) -> Iterator[None]:
        try:
            yield
        except (grpc.RpcError, FoveaError) as error:
            self.failures[f"{caller}: {error}"[:300]] += 1
        else:
            self.answered += 1


async def _fill(stores: Stores, encoders: str) -> None:
    async with ingest_stub(stores, encoders) as ingest:
        await create(ingest, COLLECTION)
        await add(ingest, COLLECTION, *(item(str(number), drawn(number)) for number in range(STORED)))


async def _share(load: Load, search: Deployment) -> float:
    """What part of the searches a new pod answers, once every connection has come of age."""
    await search.add()
    await asyncio.sleep(1.2 * CONNECTION_AGE_S)  # gRPC draws each connection's age within a tenth
    before = [await pod.answered() for pod in search.pods]
    await load.until(load.answered + SHARED_REQUESTS)
    answered = [await pod.answered() - at for pod, at in zip(search.pods, before, strict=True)]
    return answered[-1] / sum(answered)


async def _run(requests: int, encoder: Deployment, search: Deployment, stores: Stores) -> dict[str, Any]:
    await asyncio.gather(encoder.add(), encoder.add(), search.add(), search.add())
    await _fill(stores, encoder.target)
    load, report = Load(search.target, encoder.target), {"rolled": 0, "crashed": 0, "share": 0.0}

    async def work(load: Load) -> None:
        report["share"] = await _share(load, search)
        while load.answered < requests or not report["crashed"]:
            await asyncio.gather(encoder.roll(), search.roll())
            report["rolled"] += 1
            await asyncio.gather(encoder.crash(), search.crash())
            report["crashed"] += 1

    await load.during(work)
    statuses = encoder.statuses + search.statuses
    return {**report, "answered": load.answered, "failures": dict(load.failures), "statuses": dict(statuses)}


def main(requests: int) -> None:
    """Build the system, load it, print what happened."""
    names = NameServer()
    with tempfile.TemporaryDirectory() as folder, milvus_lite_server() as milvus_uri, redis_server() as redis_url:
        bundle = tiny_image_bundle(Path(folder) / "tiny", is_default=True)
        encoder = Deployment(names, "encoder", bundles=json.dumps([str(bundle.folder)]), threads="1")
        stores = Stores(milvus_uri, redis_url)
        encoders = json.dumps([encoder.target])
        search = Deployment(names, "search", milvus_uri=milvus_uri, redis_url=redis_url, encoders=encoders)
        try:
            sys.stdout.write(json.dumps(asyncio.run(_run(requests, encoder, search, stores))) + "\n")
        finally:
            encoder.kill()
            search.kill()


if __name__ == "__main__":
    main(int(sys.argv[1]))
