"""The Helm chart: what it renders is reviewed, fits every version of Kubernetes that it names, and is as closed as it can be."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from pydantic_settings import BaseSettings

from gateway.settings import GatewaySettings
from rpc.security.settings import SecuritySettings
from services.encoder.settings import EncoderSettings
from services.ingest.settings import IngestSettings
from services.search.settings import SearchSettings

# The first test may have to build helm.
pytestmark = pytest.mark.timeout(1200)

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "fovea"
RENDERED = ROOT / "deploy" / "rendered"
EVERYTHING = ROOT / "deploy" / "helm" / "values" / "everything.yaml"
VERSIONS = [f"1.{minor}" for minor in range(29, 38)]
PROCESSES: dict[str, type[BaseSettings]] = {
    "encoder": EncoderSettings,
    "search": SearchSettings,
    "ingest": IngestSettings,
    "gateway": GatewaySettings,
}


@pytest.fixture(scope="session", autouse=True)
def helm_version() -> str:
    """The version of helm, which is built where there is go; the tests are skipped where there is neither."""
    done = subprocess.run(
        [ROOT / "scripts" / "helm", "version"], capture_output=True, text=True, check=False, timeout=900
    )
    if done.returncode == 127 and os.environ.get("CI") != "true":
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    return done.stdout


def helm(*arguments: object) -> subprocess.CompletedProcess[str]:
    """What helm answers."""
    command = [str(ROOT / "scripts" / "helm"), *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def rendered(version: str, *arguments: object) -> list[dict[str, Any]]:
    """The manifests for one version of Kubernetes."""
    done = helm("template", "fovea", CHART, "--namespace", "fovea", "--kube-version", f"{version}.0", *arguments)
    assert done.returncode == 0, done.stderr
    return [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]


def pods(manifests: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The name and the spec of each pod."""
    for manifest in manifests:
        if manifest["kind"] == "Deployment":
            yield manifest["metadata"]["name"], manifest["spec"]["template"]["spec"]
        if manifest["kind"] == "Pod":
            yield manifest["metadata"]["name"], manifest["spec"]


def test_rendered_output_is_the_charts(tmp_path: Path) -> None:
    """`scripts/render` has been run after the last change of the chart."""
    subprocess.run([ROOT / "scripts" / "render", tmp_path], check=True, timeout=120)

    assert sorted(path.name for path in RENDERED.iterdir()) == sorted(path.name for path in tmp_path.iterdir())
    for path in tmp_path.iterdir():
        assert path.read_text() == (RENDERED / path.name).read_text(), f"run scripts/render: {path.name} has changed"


@pytest.mark.parametrize("values", [(), ("--values", EVERYTHING)], ids=["default", "everything"])
def test_chart_passes_the_linter(values: tuple[object, ...]) -> None:
    """Without a warning."""
    done = helm("lint", "--strict", "--kube-version", "1.35.0", CHART, *values)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("version", VERSIONS)
def test_manifests_fit_the_schemas_of_kubernetes(version: str) -> None:
    """No field is unknown to that version, and none has a wrong type."""
    image_volumes = ("--set", "bundles.source=claim,bundles.claim=bundles") if version < "1.33" else ()
    manifests = [*rendered(version, *image_volumes), *rendered(version, "--values", EVERYTHING)]
    known = [manifest for manifest in manifests if not _is_of_an_operator(manifest)]

    assert len(known) > 40
    for manifest in known:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_image_volumes_are_refused_where_kubernetes_lacks_them() -> None:
    """The line says what to set."""
    done = helm("template", "fovea", CHART, "--kube-version", "1.32.0")

    assert done.returncode != 0
    assert "set it to download or claim" in done.stderr


@pytest.mark.parametrize("wrong", ["search.replicaz=1", "encoders.general.device=tpu", "stores.milvus=milvus:19530"])
def test_wrong_values_are_refused(wrong: str) -> None:
    """The schema of the values names them."""
    done = helm("template", "fovea", CHART, "--kube-version", "1.35.0", "--set", wrong)

    assert done.returncode != 0
    assert "values don't meet the specifications" in done.stderr


@pytest.mark.parametrize("path", sorted(RENDERED.iterdir()), ids=lambda path: path.stem)
def test_pods_are_restricted(path: Path) -> None:
    """They pass the profile `restricted` of Pod Security, with more: a read-only root, no token, no service links."""
    for name, spec in pods([manifest for manifest in yaml.safe_load_all(path.read_text()) if manifest]):
        assert spec["securityContext"]["runAsNonRoot"], name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not spec["automountServiceAccountToken"], name
        assert not spec["enableServiceLinks"], name
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert set(container["resources"]) == {"requests", "limits"}, name


@pytest.mark.parametrize("path", sorted(RENDERED.iterdir()), ids=lambda path: path.stem)
def test_settings_exist(path: Path) -> None:
    """Every variable that the chart sets is a setting of its process, and its value is one that the process takes."""
    for name, spec in pods([manifest for manifest in yaml.safe_load_all(path.read_text()) if manifest]):
        for container in spec["containers"]:
            process = PROCESSES.get(container["name"])
            if process is None:
                continue
            known = {
                f"{kind.model_config['env_prefix']}{field}".upper()
                for kind in (process, SecuritySettings)
                for field in kind.model_fields
            }
            assert {variable["name"] for variable in container["env"]} <= known, name


@pytest.mark.deploy
def test_checkov_finds_nothing() -> None:
    """In what is rendered; deploy/checkov.yaml says what is waived, and why."""
    checkov = Path(sys.prefix) / "peers" / "checkov" / "bin" / "checkov"
    command = [str(checkov), "--config-file", "deploy/checkov.yaml", "--quiet", "--compact", "--skip-download"]
    files = [RENDERED / "default.yaml", RENDERED / "everything.yaml"]
    done = subprocess.run(
        [*command, *(part for file in files for part in ("--file", str(file)))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )

    assert done.returncode == 0, done.stdout
    assert "Failed checks: 0" in done.stdout or not done.stdout.strip()


def test_grace_is_longer_than_what_a_pod_needs_to_end() -> None:
    """PreStop and the drain time end before Kubernetes kills."""
    for name, spec in pods(rendered("1.35", "--set", "shutdown.preStopSeconds=7,shutdown.drainSeconds=40")):
        if "terminationGracePeriodSeconds" in spec:
            assert spec["terminationGracePeriodSeconds"] > 47, name


def test_new_pods_are_known_before_old_ones_end() -> None:
    """Each Deployment waits between the two, and connections of each gRPC process have an age."""
    manifests = rendered("1.35", "--set", "rollout.minReadySeconds=7,rollout.connectionAgeSeconds=40")
    deployments = [manifest for manifest in manifests if manifest["kind"] == "Deployment"]
    ages = [
        variable["value"]
        for _, spec in pods(manifests)
        for variable in spec["containers"][0].get("env", [])
        if variable["name"].endswith("_CONNECTION_AGE_S")
    ]

    assert {deployment["spec"]["minReadySeconds"] for deployment in deployments} == {7}
    assert ages == ["40"] * (len(deployments) - 1)  # the gateway has none


def test_proxies_reach_ready_pods_alone() -> None:
    """Routes lead to Services that publish no other addresses; those of Fovea's own clients publish all."""
    manifests = rendered("1.35", "--values", EVERYTHING)
    services = {
        manifest["metadata"]["name"]: manifest["spec"] for manifest in manifests if manifest["kind"] == "Service"
    }
    routes = [manifest for manifest in manifests if manifest["kind"].endswith("Route")]
    targets = {to["name"] for route in routes for rule in route["spec"]["rules"] for to in rule["backendRefs"]}

    assert targets == {"fovea-gateway", "fovea-search-entry", "fovea-ingest-entry"}
    assert not [name for name in targets if services[name].get("publishNotReadyAddresses")]
    assert services["fovea-search"]["publishNotReadyAddresses"]
    assert services["fovea-search-entry"]["selector"] == services["fovea-search"]["selector"]


def _is_of_an_operator(manifest: dict[str, Any]) -> bool:
    return any(part in manifest["apiVersion"] for part in ("monitoring.coreos.com", "keda.sh", "gateway.networking"))
