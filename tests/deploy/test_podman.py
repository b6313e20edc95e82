"""The rendered chart, run with podman by the commands of docs/operations.md."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from testbed.servers import STANDALONE_START_TIMEOUT_S, standalone_milvus
from tests.deploy.podman import Podman, commands_of

pytestmark = pytest.mark.deploy


@dataclass(frozen=True, slots=True)
class System:
    """What runs, and what the documented commands printed."""

    podman: Podman
    output: str


@pytest.fixture(scope="module")
def system(podman: Podman) -> Iterator[System]:
    """Two encoders, two search processes, ingest, gateway and Redis, started in any order beside a real Milvus."""
    with standalone_milvus() as milvus:
        milvus.start(STANDALONE_START_TIMEOUT_S)
        done = podman.call(
            *("bash", "-euo", "pipefail", "-c", commands_of("run")),
            timeout_s=300.0,
            environment={"MILVUS": milvus.url},
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:] + _logs(podman)
        yield System(podman, done.stdout)


def test_the_documented_commands_lead_to_an_answer(system: System) -> None:
    """A search finds the image that was added before it."""
    answer = json.loads(system.output[system.output.rindex('{"hits"') :])

    assert answer["hits"][0]["score"] == pytest.approx(1, abs=1e-3)


def test_sigterm_ends_every_process(system: System) -> None:
    """Each with 0, the gateway first."""
    for pod in ("fovea-gateway", "fovea-ingest", "fovea-search", "fovea-encoder-general"):
        _stop(system.podman, f"{pod}-pod-0")


def _stop(podman: Podman, pod: str) -> None:
    podman.run("pod", "stop", "--time", "30", pod)
    for container in podman.run("ps", "--all", "--filter", f"pod={pod}", "--format", "{{.Names}}").split():
        if not container.endswith("-infra"):
            state = podman.run("inspect", container, "--format", "{{.State.ExitCode}} {{.State.OOMKilled}}")
            assert state == "0 false", podman.logs(container)[-2000:]


def _logs(podman: Podman) -> str:
    names = podman.run("ps", "--all", "--format", "{{.Names}}").split()
    return "\n".join(f"{name}: {podman.logs(name)[-1500:]}" for name in names)
