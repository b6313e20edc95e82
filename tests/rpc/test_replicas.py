"""Processes that serve the same bundle stand in for one another: real encoder processes, killed, stopped and restarted."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import grpc
import pytest

from encoders.bundle import Bundle
from rpc.channel import channel_options
from rpc.clients import Input
from rpc.deadline import Deadline
from rpc.directory import EncoderDirectory
from rpc.errors import ServiceError
from testbed.servers import free_port
from tests.rpc.conftest import ThreadEncoder, serving, until
from tests.support.bundles import tiny_image_bundle
from tests.support.images import encoded, plain
from tests.support.processes import REPOSITORY

IMAGE = Input(encoded(plain()))
START_TIMEOUT_S = 60.0


class EncoderProcess:
    """An encoder process that keeps its address when it is started again."""

    def __init__(self, bundle: Bundle, address: str = "") -> None:
        self.address = address or f"127.0.0.1:{free_port()}"
        self.bundle = bundle
        self._metrics_port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it and waits until it encodes."""
        variables = {
            "BUNDLES": json.dumps([str(self.bundle.folder)]),
            "ADDRESS": self.address,
            "THREADS": "1",
            "METRICS_PORT": str(self._metrics_port),
        }
        environment = os.environ | {f"FOVEA_ENCODER_{name}": value for name, value in variables.items()}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "services.encoder"], cwd=REPOSITORY, env=environment, stderr=subprocess.DEVNULL
        )
        with grpc.insecure_channel(self.address, options=channel_options(1 << 20)) as channel:
            grpc.channel_ready_future(channel).result(START_TIMEOUT_S)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Inside the block the process does nothing at all, and its connections stay."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        os.waitpid(self._process.pid, os.WUNTRACED)  # until all of its threads have stopped
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Ends it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def answered(self) -> float:
        """How many calls of Encode it answered since its start."""
        url = f"http://127.0.0.1:{self._metrics_port}/metrics"
        page = await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=20).read().decode())
        lines = (line for line in page.splitlines() if line.startswith("fovea_requests_total") and '"Encode"' in line)
        return sum(float(line.split()[-1]) for line in lines)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[EncoderProcess]]:
    """Two processes with one bundle; a test leaves them running."""
    bundle = tiny_image_bundle(tmp_path_factory.mktemp("bundle"))
    processes = [EncoderProcess(bundle), EncoderProcess(bundle)]
    try:
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(EncoderProcess.start, processes))
        yield processes
    finally:
        for process in processes:
            process.kill()


@asynccontextmanager
async def opened(*targets: str) -> AsyncIterator[EncoderDirectory]:
    """A directory of these targets."""
    directory = EncoderDirectory(targets)
    await directory.start()
    try:
        yield directory
    finally:
        await directory.close()


async def encode(directory: EncoderDirectory, timeout_s: float) -> None:
    """One call; ServiceError where it fails."""
    entry = await directory.encoder("tiny")
    await entry.client.encode([IMAGE], encoder="tiny", deadline=Deadline.after(timeout_s))


class Load:
    """Callers that encode without a pause and count what happens."""

    def __init__(self, directory: EncoderDirectory, *, callers: int = 6, timeout_s: float = 30.0) -> None:
        self.outcomes: Counter[str] = Counter()
        self._directory = directory
        self._timeout_s = timeout_s
        self._is_over = False
        self._tasks = [asyncio.create_task(self._call()) for _ in range(callers)]

    async def past(self, count: int) -> None:
        """Waits until so many more calls have ended."""
        ends = self.outcomes.total() + count
        await until(lambda: self.outcomes.total() >= ends, 60)

    async def stop(self) -> Counter[str]:
        """Ends the callers after their calls and tells what happened."""
        self._is_over = True
        await asyncio.gather(*self._tasks)
        return self.outcomes

    async def _call(self) -> None:
        while not self._is_over:
            try:
                await encode(self._directory, self._timeout_s)
                self.outcomes["answered"] += 1
            except ServiceError as error:
                self.outcomes[error.message] += 1


@pytest.mark.parametrize("form", ["two targets", "one list"])
async def test_killed_replica_costs_no_call_and_gets_its_share_when_it_is_back(
    pair: list[EncoderProcess], form: str
) -> None:
    """A kill -9 of one of two under load: no call fails; started again, it answers about half of the calls."""
    addresses = [process.address for process in pair]
    targets = addresses if form == "two targets" else [f"ipv4:{','.join(addresses)}"]
    async with opened(*targets) as directory:
        load = Load(directory)
        await load.past(60)
        pair[0].kill()
        await load.past(120)
        await asyncio.to_thread(pair[0].start)
        async with asyncio.timeout(60):  # its channel connects again within the longest backoff
            while await pair[0].answered() < 20:
                await load.past(10)
        before = [await process.answered() for process in pair]
        await load.past(120)
        answered = [await process.answered() - at for process, at in zip(pair, before, strict=True)]
        outcomes = await load.stop()

    assert set(outcomes) == {"answered"}
    assert min(answered) >= 0.3 * sum(answered)


async def test_hung_replica_costs_the_first_calls_a_moment_and_the_others_nothing(pair: list[EncoderProcess]) -> None:
    """A process that is stopped, so that it neither answers nor breaks, costs no call its deadline."""
    async with opened(*(process.address for process in pair)) as directory:
        await encode(directory, 30)
        with pair[0].stopped():
            load = Load(directory, callers=4, timeout_s=20.0)
            await load.past(60)
            outcomes = await load.stop()
            started_s = time.monotonic()
            for _ in range(10):
                await encode(directory, 20)
            later_s = time.monotonic() - started_s

    assert set(outcomes) == {"answered"}
    assert later_s < 10


async def test_addresses_behind_a_name_are_replicas(
    pair: list[EncoderProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that hangs costs no call its deadline; one that the name stands for no longer gets no call."""
    port = int(pair[0].address.rpartition(":")[2])
    other = EncoderProcess(pair[0].bundle, f"127.0.0.2:{port}")
    other.start()
    named = ["127.0.0.1", "127.0.0.2"]
    look_up = socket.getaddrinfo

    def resolved(host: Any, *options: Any) -> Any:
        hosts = named if host == "encoders.example" else [host]
        return [found for address in hosts for found in look_up(address, *options)]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    try:
        async with opened(f"dns:///encoders.example:{port}") as directory:
            await encode(directory, 30)
            with other.stopped():
                load = Load(directory, callers=4, timeout_s=20.0)
                await load.past(60)
                outcomes = await load.stop()
            named.remove("127.0.0.1")
            await directory.refresh()
            before = await pair[0].answered()
            for _ in range(10):
                await encode(directory, 30)
            assert await pair[0].answered() == before
    finally:
        other.kill()

    assert set(outcomes) == {"answered"}


async def test_busy_replica_is_not_taken_for_a_hung_one(pair: list[EncoderProcess]) -> None:
    """With no other replica to go to, a slow call keeps its whole deadline."""
    async with opened(pair[0].address) as directory:
        with pair[0].stopped():
            call = asyncio.create_task(encode(directory, 60))
            done, _ = await asyncio.wait({call}, timeout=3)
        await call

    assert not done


async def test_a_call_waits_for_a_replica_where_none_serves() -> None:
    """The last one that is known may be gone before the one that takes its place is found."""
    port = free_port()
    async with opened(f"127.0.0.1:{port}") as directory:
        with serving(ThreadEncoder(), port):
            entry = await directory.encoder("tiny")
        call = asyncio.create_task(entry.client.describe(deadline=Deadline.after(20)))
        done, _ = await asyncio.wait({call}, timeout=0.5)
        with serving(ThreadEncoder(), port):
            assert [info.name for info in await call] == ["tiny"]

    assert not done
