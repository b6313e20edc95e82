"""deploy/compose.yaml, and what Prometheus and Grafana read beside it."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY
from pydantic_settings import BaseSettings

import services.encoder.__main__
import services.ingest.__main__
import services.search.__main__  # noqa: F401 - these register the metrics of their processes
from gateway.settings import GatewaySettings
from rpc.security.settings import SecuritySettings
from services.encoder.settings import EncoderSettings
from services.ingest.settings import IngestSettings
from services.search.settings import SearchSettings

# The first test may have to build Compose's library.
pytestmark = pytest.mark.timeout(900)

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE = DEPLOY / "compose.yaml"
COMPOSE_GO = "github.com/compose-spec/compose-go/v2/cmd@v2.16.2"
SETTINGS: tuple[type[BaseSettings], ...] = (
    SecuritySettings,
    EncoderSettings,
    IngestSettings,
    SearchSettings,
    GatewaySettings,
)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The file as Compose's own library understands it."""
    if shutil.which("go") is None and os.environ.get("CI") != "true":
        pytest.skip("Compose's library is built by go, which is not here")
    command = ["go", "run", COMPOSE_GO, "-format", "json", str(COMPOSE)]
    # In its folder, from which Compose resolves paths.
    done = subprocess.run(command, cwd=DEPLOY, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    parsed: dict[str, Any] = json.loads(done.stdout)
    return parsed


def test_settings_exist(compose: dict[str, Any]) -> None:
    """Every variable of Fovea's is a setting of the process that gets it."""
    known = {f"{kind.model_config['env_prefix']}{field}".upper() for kind in SETTINGS for field in kind.model_fields}
    given = {name for service in compose["services"].values() for name in service.get("environment", {})}

    assert {name for name in given if name.startswith("FOVEA_")} <= known


def test_files_exist(compose: dict[str, Any]) -> None:
    """What is mounted from the repository is there."""
    volumes = [volume for service in compose["services"].values() for volume in service.get("volumes", ())]
    bound = [Path(volume["source"]) for volume in volumes if volume["type"] == "bind"]

    assert len(bound) > 5
    assert [path for path in bound if not path.exists()] == []


def test_processes_are_closed(compose: dict[str, Any]) -> None:
    """They run as the chart's pods do, and ports are open on this machine alone."""
    for name in ("encoder", "detector", "search", "ingest", "gateway"):
        service = compose["services"][name]
        assert (service["read_only"], service["cap_drop"], service["user"]) == (True, ["ALL"], "65532:65532")
    ports = [port for service in compose["services"].values() for port in service.get("ports", ())]
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}


def test_metrics_that_are_shown_and_watched_exist() -> None:
    """Alerts, the dashboard and the autoscaler ask for metrics that Fovea has."""
    known = {sample for metric in REGISTRY.collect() for sample in _samples(metric.name, metric.type)}
    files = [
        DEPLOY / "grafana" / "fovea.json",
        DEPLOY / "helm" / "fovea" / "alerts.yaml",
        DEPLOY / "helm" / "fovea" / "templates" / "encoders.yaml",
    ]
    asked = {name for file in files for name in re.findall(r"\bfovea_\w+", file.read_text())}

    assert len(asked) > 10
    assert asked - known == set()


def test_what_prometheus_and_grafana_read_can_be_read() -> None:
    """The files are YAML and JSON, and every panel asks something."""
    for path in [*DEPLOY.glob("prometheus/*.yaml"), *DEPLOY.glob("grafana/*.yaml")]:
        assert yaml.safe_load(path.read_text()), path
    dashboard = json.loads((DEPLOY / "grafana" / "fovea.json").read_text())
    assert all(panel["targets"] for panel in dashboard["panels"])


def _samples(name: str, kind: str) -> list[str]:
    suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(kind, [""])
    return [name + suffix for suffix in suffixes]
