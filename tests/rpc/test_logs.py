"""Logging never blocks: not a call, not a loop, not the process's end."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import REGISTRY

from fovea.encoder.v1 import encoder_pb2, encoder_pb2_grpc
from rpc.channel import channel_options
from rpc.logs import LogWriter
from tests.support.bundles import tiny_image_bundle
from tests.support.processes import REPOSITORY

CALLS = 600
"""More lines than a pipe holds, 64 KiB."""


def record(message: str) -> logging.LogRecord:
    """One log record."""
    return logging.makeLogRecord({"msg": message})


def dropped_lines() -> int:
    """What the metric says."""
    return round(REGISTRY.get_sample_value("fovea_log_lines_dropped_total") or 0)


def test_lines_arrive_in_order_whatever_they_hold() -> None:
    """Each line is written once, also one with half a surrogate pair and one longer than a pipe."""
    reader, descriptor = os.pipe()
    writer = LogWriter(descriptor)
    lines = ["first", "half \ud800 pair", "x" * 200_000, "last"]
    received: list[bytes] = []

    def read() -> None:
        with os.fdopen(reader, "rb") as stream:
            received.extend(stream)

    reading = threading.Thread(target=read)
    reading.start()
    for line in lines:
        writer.handle(record(line))
    writer.flush()
    writer.close()
    os.close(descriptor)
    reading.join()

    assert received == [f"{line}\n".encode(errors="backslashreplace") for line in lines]


def test_full_pipe_drops_lines_and_counts_them() -> None:
    """While nobody reads, lines beyond the bound are dropped at once; when somebody does, the kept ones arrive."""
    reader, descriptor = os.pipe()
    writer = LogWriter(descriptor, max_lines=10)
    before = dropped_lines()
    sent = 100
    for number in range(sent):
        writer.handle(record(f"{number:060000}"))
    dropped = dropped_lines() - before
    writer.close()

    kept = sent - dropped
    with os.fdopen(reader, "rb") as stream:
        lines = [stream.readline() for _ in range(kept)]
    os.close(descriptor)
    assert 10 <= kept < sent
    assert lines == sorted(lines)


def test_reader_that_is_gone_costs_lines_only() -> None:
    """A closed pipe is not an error of whoever logs."""
    reader, descriptor = os.pipe()
    os.close(reader)
    before = dropped_lines()
    writer = LogWriter(descriptor)
    writer.handle(record("lost"))
    writer.flush()
    writer.close()
    os.close(descriptor)

    assert dropped_lines() == before + 1


def test_process_with_a_pipe_nobody_drains_answers_is_alive_and_ends(tmp_path: Path) -> None:
    """With stdout and stderr full, calls and health are answered, and SIGTERM ends the process with 0."""
    environment = os.environ | {
        "FOVEA_ENCODER_BUNDLES": json.dumps([str(tiny_image_bundle(tmp_path).folder)]),
        "FOVEA_ENCODER_THREADS": "1",
        "FOVEA_ENCODER_LOGGED_CALLS": "1",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "services.encoder"],
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        port = next(json.loads(line)["port"] for line in process.stderr if b'"serving"' in line)
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=channel_options(1 << 20)) as channel:
            stub = encoder_pb2_grpc.EncoderServiceStub(channel)
            for _ in range(CALLS):
                stub.Describe(encoder_pb2.DescribeRequest(), timeout=20)
            request = health_pb2.HealthCheckRequest(service="liveness")
            assert health_pb2_grpc.HealthStub(channel).Check(request, timeout=20).status
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()
