"""The encoder as a process, and what every server of Fovea has."""

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
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from encoders.errors import BundleError
from rpc.channel import open_channel
from rpc.clients import EncoderClient, Input
from rpc.deadline import Deadline
from services.encoder.models import Models
from services.encoder.offering import SERVICES
from services.encoder.settings import EncoderSettings
from tests.support.bundles import tiny_image_bundle
from tests.support.images import encoded, plain

ROOT = Path(__file__).parents[3]


@contextmanager
def started_encoder(*folders: Path) -> Iterator[subprocess.Popen[str]]:
    """`python -m services.encoder`, whose log the test reads as it comes."""
    environment = {**os.environ, "FOVEA_ENCODER_BUNDLES": json.dumps([str(folder) for folder in folders])}
    process = subprocess.Popen(
        [sys.executable, "-m", "services.encoder"], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def logged(process: subprocess.Popen[str], message: str) -> dict[str, object]:
    """Reads log lines up to the one with a message."""
    assert process.stderr is not None
    for line in process.stderr:
        entry: dict[str, object] = json.loads(line)
        if entry["message"] == message:
            return entry
    pytest.fail(f"the process ended without saying {message!r}")


async def test_the_process_serves_and_drains(tmp_path: Path) -> None:
    """Started from the environment, it warms up, logs its port, answers, and ends cleanly on SIGTERM."""
    with started_encoder(tiny_image_bundle(tmp_path).folder) as process:
        assert logged(process, "model ready")["largest_batch"]
        port = logged(process, "serving")["port"]
        async with open_channel(f"127.0.0.1:{port}") as channel:
            answer = await EncoderClient(channel).encode(
                [Input(encoded(plain()))], encoder="", deadline=Deadline.after(20)
            )
        process.send_signal(signal.SIGTERM)

        assert len(answer.outcomes) == 1
        assert process.wait(20) == 0


def test_a_corrupt_bundle_is_refused_by_name(tmp_path: Path) -> None:
    """A process whose model has one wrong byte does not start, and its log names the file."""
    path = tiny_image_bundle(tmp_path).path_of("fp32")
    path.write_bytes(path.read_bytes()[:-1] + b"\0")

    with started_encoder(tmp_path) as process:
        assert process.stderr is not None
        log = process.stderr.read()
        assert process.wait(20) == 1
    assert f"{path} is damaged" in log


def test_two_bundles_of_one_name_are_refused(tmp_path: Path) -> None:
    """Callers choose by name, so names differ."""
    folders = (tiny_image_bundle(tmp_path / "a").folder, tiny_image_bundle(tmp_path / "b").folder)

    with pytest.raises(BundleError, match="Two bundles are named 'tiny'"):
        Models(EncoderSettings(bundles=folders, provider="cpu"))


@pytest.mark.parametrize("name", ["", "liveness", "readiness", *SERVICES])
async def test_health_is_known_by_name(channel: grpc.aio.Channel, name: str) -> None:
    """Every service and both probes are SERVING once models are warm."""
    stub = health_pb2_grpc.HealthStub(channel)

    answer = await stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=20)
    first = await anext(aiter(stub.Watch(health_pb2.HealthCheckRequest(service=name), timeout=20)))

    assert answer.status == first.status == health_pb2.HealthCheckResponse.SERVING


async def test_clients_without_proto_files_find_all_services(channel: grpc.aio.Channel) -> None:
    """Reflection lists the services and hands out their files, as grpcurl asks for them."""
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    questions = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        *(reflection_pb2.ServerReflectionRequest(file_containing_symbol=name) for name in SERVICES),
    ]

    listed, *files = [answer async for answer in stub.ServerReflectionInfo(iter(questions), timeout=20)]

    assert {service.name for service in listed.list_services_response.service} >= set(SERVICES)
    assert all(answer.file_descriptor_response.file_descriptor_proto for answer in files)
