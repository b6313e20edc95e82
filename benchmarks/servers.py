"""The programs under measurement, started as users start them: one encoder alone, or the whole system."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

ROOT = Path(__file__).resolve().parent.parent
_START_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class EncoderProcess:
    """An encoder that answers on `target` and shows its metrics on `metrics_port`; `pid` is its process, or their parent."""

    target: str
    metrics_port: int
    pid: int


@contextmanager
def encoder(
    bundle: Path, *, threads: int, settings: Mapping[str, str] | None = None, module: str = "services.encoder"
) -> Iterator[EncoderProcess]:
    """One encoder that serves one bundle; `settings` are more of its variables, without their prefix."""
    target, metrics_port = f"127.0.0.1:{_free_port()}", _free_port()
    variables = {
        "FOVEA_ENCODER_ADDRESS": target,
        "FOVEA_ENCODER_BUNDLES": json.dumps([str(bundle)]),
        "FOVEA_ENCODER_THREADS": str(threads),
        "FOVEA_ENCODER_METRICS_PORT": str(metrics_port),
        "FOVEA_ENCODER_LOG_LEVEL": "warning",
    } | {f"FOVEA_ENCODER_{name}": value for name, value in (settings or {}).items()}
    child = subprocess.Popen([sys.executable, "-m", module], cwd=ROOT, env=os.environ | variables)
    try:
        _wait_until_ready(target, child)
        yield EncoderProcess(target, metrics_port, child.pid)
    finally:
        child.terminate()
        child.wait(30)


@contextmanager
def system(data: Path, *, milvus_uri: str = "", root: Path | None = None) -> Iterator[dict[str, Any]]:
    """`fovea up` with the shipped bundles, on the embedded Milvus unless one is named; returns its run.json.

    Images may be read by path below `root`; without one, where `fovea up` allows it by itself.
    """
    command = [str(Path(sys.executable).parent / "fovea"), "up", "--data", str(data), "--port", str(_free_port())]
    command += ["--root", str(root)] if root is not None else []
    log = (data.parent / "up.log").open("wb")
    # The same few queries again and again stand for different ones: nothing of them may be remembered.
    settings = os.environ | {"FOVEA_SEARCH_EMBEDDING_CACHE_MIB": "0"}
    child = subprocess.Popen(
        [*command, *(["--milvus", milvus_uri] if milvus_uri else [])], cwd=ROOT, env=settings, stdout=log, stderr=log
    )
    try:
        run_file = data / "run.json"
        ends_s = time.monotonic() + _START_TIMEOUT_S
        while not run_file.exists():
            if child.poll() is not None or time.monotonic() > ends_s:
                raise RuntimeError(f"fovea up did not start: {(data.parent / 'up.log').read_text()}")
            time.sleep(0.1)
        yield json.loads(run_file.read_text())
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(30)
        log.close()


def _wait_until_ready(target: str, child: subprocess.Popen[bytes]) -> None:
    ends_s = time.monotonic() + _START_TIMEOUT_S
    with grpc.insecure_channel(target) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        while True:
            try:
                answer = health.Check(health_pb2.HealthCheckRequest(service="readiness"), timeout=1)
            except grpc.RpcError:
                answer = None
            if answer is not None and answer.status == health_pb2.HealthCheckResponse.SERVING:
                return
            if child.poll() is not None or time.monotonic() > ends_s:
                raise RuntimeError(f"the process on {target} did not become ready")
            time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
