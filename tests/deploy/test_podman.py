"""The rendered chart, run with podman by the commands of docs/operations.md."""

import json

import pytest

from testbed.servers import STANDALONE_START_TIMEOUT_S, standalone_milvus
from tests.deploy.podman import Podman, commands_of

pytestmark = pytest.mark.deploy


def test_the_documented_commands_lead_to_an_answer(podman: Podman) -> None:
    """Encoder, search, ingest, gateway and Redis start in any order beside a real Milvus; a search finds its image."""
    with standalone_milvus() as milvus:
        milvus.start(STANDALONE_START_TIMEOUT_S)
        done = podman.call(
            *("bash", "-euo", "pipefail", "-c", commands_of("run")),
            timeout_s=300.0,
            environment={"MILVUS": milvus.url},
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:] + _logs(podman)
        answer = json.loads(done.stdout[done.stdout.rindex('{"hits"') :])
        assert answer["hits"][0]["score"] == pytest.approx(1, abs=1e-3)
        _ends_by_itself(podman)


def _ends_by_itself(podman: Podman) -> None:
    """SIGTERM ends every process with 0, the gateway first."""
    for name in ("gateway", "search", "ingest", "encoder-general"):
        pod = f"fovea-{name}-pod-0"
        podman.run("pod", "stop", "--time", "20", pod)
        container = f"{pod}-{name.partition('-')[0]}"
        assert podman.run("inspect", container, "--format", "{{.State.ExitCode}} {{.State.OOMKilled}}") == "0 false"


def _logs(podman: Podman) -> str:
    names = podman.run("ps", "--all", "--format", "{{.Names}}").split()
    return "\n".join(f"{name}: {podman.logs(name)[-1500:]}" for name in names)
