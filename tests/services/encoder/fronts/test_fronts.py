"""An encoder with several fronts, as operators start it: its processes are killed under load, and it is stopped."""

import contextlib
import os
import re
import signal
import socket
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from PIL import Image

from fovea.detector.v1 import detector_pb2, detector_pb2_grpc
from fovea.encoder.v1 import encoder_pb2, encoder_pb2_grpc
from tests.support.bundles import tiny_detector_bundle, tiny_image_bundle, tiny_text_bundle
from tests.support.images import corners, encoded
from tests.support.processes import Server, alive, eventually, server_process

FRONTS = 2
IMAGES = [encoded(Image.new("RGB", (96, 64), (level, 255 - level, 40))) for level in range(0, 250, 25)]


def bundles(folder: Path) -> list[str]:
    """One bundle of each kind that has another input or answer."""
    made = (
        tiny_image_bundle(folder / "tiny"),
        tiny_text_bundle(folder / "tiny_text"),
        tiny_detector_bundle(folder / "tiny_detector"),
    )
    return [str(bundle.folder) for bundle in made]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """An encoder with two fronts that serve, whose processes a test may end."""
    with _fronts(tmp_path) as started:
        yield started


@pytest.fixture(scope="module")
def lasting_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for the tests that only call it."""
    with _fronts(tmp_path_factory.mktemp("lasting")) as started:
        yield started


@contextmanager
def _fronts(folder: Path) -> Iterator[Server]:
    options = {"provider": "cpu", "threads": 1, "metrics_port": free_port(), "drain_s": 3}
    with server_process(folder, "encoder", bundles=bundles(folder), fronts=FRONTS, **options) as started:
        eventually(lambda: log(folder).count('"serving"') == FRONTS)
        yield started


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def log(folder: Path) -> str:
    """What the processes have logged."""
    return (folder / "encoder.log").read_text()


def processes(server: Server, kind: str) -> list[int]:
    """The process ids of the parent's children of a kind: `front` or `model_process`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            command = (entry / "cmdline").read_text().split("\0")
            if int(parent) == server.process.pid and f"services.encoder.fronts.{kind}" in command:
                found.append(int(entry.name))
    return found


def channel(server: Server) -> grpc.Channel:
    """A connection of its own, which lands on one of the fronts."""
    return grpc.insecure_channel(server.address, options=[("grpc.use_local_subchannel_pool", 1)])


def request(*images: bytes, encoder: str = "tiny") -> encoder_pb2.EncodeRequest:
    """Encodes images."""
    return encoder_pb2.EncodeRequest(encoder=encoder, inputs=[encoder_pb2.Input(image=image) for image in images])


@dataclass
class Traffic:
    """Callers, each with a connection of its own, that call one after the other until the block ends."""

    server: Server
    callers: int = 6
    codes: Counter[str] = field(default_factory=Counter)
    by_caller: list[Counter[str]] = field(default_factory=list)
    details: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._stopping = threading.Event()
        self.by_caller = [Counter() for _ in range(self.callers)]
        self._threads = [threading.Thread(target=self._call, args=(codes,)) for codes in self.by_caller]
        for thread in self._threads:
            thread.start()
        eventually(lambda: all(codes["OK"] > 5 for codes in self.by_caller))
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        for codes in self.by_caller:
            self.codes += codes

    def _call(self, codes: Counter[str]) -> None:
        with channel(self.server) as opened:
            stub = encoder_pb2_grpc.EncoderServiceStub(opened)
            while not self._stopping.is_set():
                try:
                    stub.Encode(request(IMAGES[0]), timeout=20)
                    codes["OK"] += 1
                except grpc.RpcError as error:
                    codes[error.code().name] += 1
                    self.details.append(f"{error.code().name}: {error.details()}")
                    if "stopping" in (error.details() or "") or self.server.process.poll() is not None:
                        return  # as clients do, which go to another replica
                    time.sleep(0.02)


def test_answers_are_those_of_one_process(tmp_path: Path, lasting_server: Server) -> None:
    """Embeddings of images and words, errors of single inputs, and detections are the same to the last bit."""
    alone = tmp_path / "alone"
    alone.mkdir()
    with server_process(alone, "encoder", bundles=bundles(tmp_path), provider="cpu", threads=1) as one:
        answers = [_answers(each) for each in (one, lasting_server)]

    assert answers[0] == answers[1]


def _answers(server: Server) -> list[object]:
    with channel(server) as opened:
        encoder = encoder_pb2_grpc.EncoderServiceStub(opened)
        described = encoder.Describe(encoder_pb2.DescribeRequest(), timeout=20).encoders
        images = encoder.Encode(request(*IMAGES, b"broken"), timeout=20).results
        words = [encoder_pb2.Input(text=text) for text in ("red", "green blue", "nothing known")]
        texts = encoder.Encode(encoder_pb2.EncodeRequest(encoder="tiny_text", inputs=words), timeout=20).results
        detect = detector_pb2_grpc.DetectorServiceStub(opened).Detect
        detected = detect(detector_pb2.DetectRequest(image=encoded(corners())), timeout=20)
    return [
        [(each.name, each.space, each.sha256, each.provider, each.threads) for each in described],
        [result.embedding for result in images],
        [(result.error.code, result.error.message, result.embedding) for result in [*images, *texts]],
        [(each.label, each.score, each.box) for each in detected.detections],
    ]


def test_a_killed_front_costs_nobody_else_a_call(server: Server) -> None:
    """Calls on the other front go on; the killed one is started again, and what it counted stays counted."""
    with Traffic(server) as traffic:
        (first, *_), before = processes(server, "front"), _answered(server)
        connected = _connections(server, first)
        os.kill(first, signal.SIGKILL)
        eventually(lambda: first not in processes(server, "front") and len(processes(server, "front")) == FRONTS)
        eventually(lambda: _answered(server) > before)

    harmed = [codes for codes in traffic.by_caller if set(codes) != {"OK"}]
    assert set(traffic.codes) <= {"OK", "UNAVAILABLE"}, traffic.details
    assert len(harmed) <= connected
    # Whoever connects again finds a front that serves, not the one that starts.
    assert "this process is starting" not in " ".join(traffic.details)


def test_a_killed_model_process_fails_its_calls_at_once_and_comes_back(server: Server, tmp_path: Path) -> None:
    """UNAVAILABLE with a reason, not a deadline; readiness says so until the models are loaded again."""
    with Traffic(server) as traffic, channel(server) as opened:
        (models,) = processes(server, "model_process")
        os.kill(models, signal.SIGKILL)
        killed_s = time.monotonic()
        eventually(lambda: any(codes["UNAVAILABLE"] for codes in traffic.by_caller))
        assert time.monotonic() - killed_s < 2
        eventually(lambda: _is_ready(opened, "liveness"))
        eventually(lambda: bool(set(processes(server, "model_process")) - {models}))
        eventually(lambda: _is_ready(opened, "readiness"))
        answered = [codes["OK"] for codes in traffic.by_caller]
        eventually(lambda: all(codes["OK"] > old for codes, old in zip(traffic.by_caller, answered, strict=True)))

    assert set(traffic.codes) == {"OK", "UNAVAILABLE"}
    assert any("starts again" in details for details in traffic.details)
    assert "a process of the encoder ended and starts again" in log(tmp_path)


def test_sigterm_drains_without_a_lost_call(server: Server) -> None:
    """Calls that were taken are answered, later ones refused; all processes end, and the status is 0."""
    pids = [*processes(server, "front"), *processes(server, "model_process")]
    with Traffic(server) as traffic:
        server.process.terminate()
        assert server.process.wait(20) == 0

    assert not any(map(alive, pids))
    assert set(traffic.codes) <= {"OK", "UNAVAILABLE"}, traffic.details
    lost = [each for each in traffic.details if "stopping" not in each and "refused" not in each]
    assert lost == []


def test_no_process_outlives_the_parent(server: Server) -> None:
    """However the parent ends: nobody would end its children, and the port would stay taken."""
    pids = [*processes(server, "front"), *processes(server, "model_process")]
    server.process.kill()
    server.process.wait()

    eventually(lambda: not any(map(alive, pids)))


def test_fronts_keep_the_limit_of_calls_together(tmp_path: Path) -> None:
    """One call in flight is one over all fronts: beside it each further one is refused, on whichever front."""
    options = {"provider": "cpu", "threads": 1, "max_in_flight": 1}
    with server_process(tmp_path, "encoder", bundles=bundles(tmp_path), fronts=FRONTS, **options) as started:
        eventually(lambda: log(tmp_path).count('"serving"') == FRONTS)
        refused = Counter[int]()
        with ExitStack() as stack:
            channels = [stack.enter_context(channel(started)) for _ in range(8)]
            many = request(*IMAGES * 3)
            for _ in range(10):
                calls = [encoder_pb2_grpc.EncoderServiceStub(each).Encode.future(many, timeout=20) for each in channels]
                refused[sum(call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED for call in calls)] += 1

    # Eight calls at once: were the limit each front's own, seldom fewer than two would be answered.
    assert refused[len(channels) - 1] > sum(refused.values()) / 2, refused


def test_metrics_are_those_of_all_processes(server: Server) -> None:
    """Calls on every front are counted on one page, and what the models did beside them."""
    for _ in range(20):
        with channel(server) as opened:
            encoder_pb2_grpc.EncoderServiceStub(opened).Encode(request(*IMAGES[:3]), timeout=20)
    page = _page(server)

    assert _answered(server) == 20
    assert 'fovea_inference_items_total{model="tiny"} 60.0' in page
    assert re.search(r'fovea_model{[^}]*model="tiny"[^}]*} 1.0', page)
    assert 'fovea_queue_depth{model="tiny",priority="interactive"} 0.0' in page


def test_connections_reach_every_front(lasting_server: Server) -> None:
    """The kernel spreads them: of 32 connections each front has some."""
    before = [_cpu_ticks(pid) for pid in processes(lasting_server, "front")]
    channels = [channel(lasting_server) for _ in range(32)]
    for _ in range(20):
        for opened in channels:
            encoder_pb2_grpc.EncoderServiceStub(opened).Encode(request(IMAGES[0]), timeout=20)
    for opened in channels:
        opened.close()

    after = [_cpu_ticks(pid) for pid in processes(lasting_server, "front")]
    assert all(later > earlier for earlier, later in zip(before, after, strict=True))


def test_a_taken_port_is_refused_with_one_line(tmp_path: Path, lasting_server: Server) -> None:
    """A second encoder with fronts does not join the first one's port in silence."""
    folder = tmp_path / "second"
    folder.mkdir()
    with (
        pytest.raises(RuntimeError, match="did not start"),
        server_process(folder, "encoder", bundles=bundles(tmp_path), fronts=2, address=lasting_server.address),
    ):
        pass

    (line,) = log(folder).splitlines()
    assert f"cannot listen on {lasting_server.address}: the port is taken" in line


def test_a_bundle_that_cannot_be_served_ends_all(tmp_path: Path) -> None:
    """As with one process: the log names the file, and the encoder ends with status 1."""
    folders = bundles(tmp_path)
    model = next(Path(folders[0]).glob("*.onnx"))
    model.write_bytes(model.read_bytes()[:-1] + b"\0")
    with (
        pytest.raises(RuntimeError, match="did not start"),
        server_process(tmp_path, "encoder", bundles=folders, fronts=2, provider="cpu") as started,
    ):
        assert started.process.returncode == 1

    assert f"{model} is damaged" in log(tmp_path)


def _is_ready(opened: grpc.Channel, name: str) -> bool:
    answer = health_pb2_grpc.HealthStub(opened).Check(health_pb2.HealthCheckRequest(service=name), timeout=20)
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _page(server: Server) -> str:
    environment = Path(f"/proc/{server.process.pid}/environ").read_text().split("\0")
    port = next(each.partition("=")[2] for each in environment if each.startswith("FOVEA_ENCODER_METRICS_PORT="))
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as page:
        text: str = page.read().decode()
    return text


def _answered(server: Server) -> float:
    """The successful Encode calls on the metrics page."""
    found = re.search(r'fovea_requests_total{code="OK",method="Encode"[^}]*} (\S+)', _page(server))
    return float(found.group(1)) if found else 0.0


def _cpu_ticks(pid: int) -> int:
    fields: Sequence[str] = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _connections(server: Server, pid: int) -> int:
    """How many callers are connected to a front."""
    port = int(server.address.rpartition(":")[2])
    links = [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir() if entry.is_symlink()]
    tables = [Path(f"/proc/net/{table}").read_text().splitlines()[1:] for table in ("tcp", "tcp6")]
    rows = [line.split() for table in tables for line in table]
    established = {row[9] for row in rows if int(row[1].partition(":")[2], 16) == port and row[3] == "01"}
    return sum(link == f"socket:[{inode}]" for link in links for inode in established)
