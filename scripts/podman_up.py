"""Starts the chart with podman, each Deployment under its name on the network `fovea`, and prints the gateway's URL.

    .venv/bin/python -P scripts/podman_up.py --milvus http://10.0.0.5:19530

It needs the images of scripts/images, the network `fovea`, and the volume `fovea-bundles`. Names of Deployments take the
place of Services, which podman does not have.
"""

import argparse
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
# Podman would publish each port on this machine, where several pods have the same, and runs probes through systemd alone.
_LEFT_OUT = {"ports", "livenessProbe", "readinessProbe", "startupProbe"}
VALUES = ROOT / "deploy" / "helm" / "values" / "podman.yaml"


def deployments(milvus: str) -> Iterator[dict[str, Any]]:
    """Those of Redis and of the chart, as it is rendered for podman."""
    chart = ["template", "fovea", "deploy/helm/fovea", "--kube-version", "1.35.0", "--values", str(VALUES)]
    rendered = _output(str(ROOT / "scripts" / "helm"), *chart, "--set", f"stores.milvus={milvus}")
    manifests = [*yaml.safe_load_all((ROOT / "deploy" / "redis.yaml").read_text()), *yaml.safe_load_all(rendered)]
    return (manifest for manifest in manifests if manifest["kind"] == "Deployment")


def without_what_podman_lacks(manifest: dict[str, Any]) -> dict[str, Any]:
    """The Deployment without its ports and probes."""
    for container in manifest["spec"]["template"]["spec"]["containers"]:
        for key in _LEFT_OUT & container.keys():
            del container[key]
    return manifest


def start(manifest: dict[str, Any]) -> None:
    """Play one Deployment, whose name is then the address of its pods."""
    command = ["podman", "play", "kube", "--network", f"fovea:alias={manifest['metadata']['name']}", "-"]
    played = yaml.safe_dump(without_what_podman_lacks(manifest))
    subprocess.run(command, input=played, text=True, check=True, stdout=subprocess.DEVNULL)


def address(deployment: str) -> str:
    """The address of a Deployment's first pod."""
    pod = json.loads(_output("podman", "pod", "inspect", f"{deployment}-pod-0"))
    networks = json.loads(_output("podman", "inspect", pod["InfraContainerID"]))[0]["NetworkSettings"]["Networks"]
    return str(networks["fovea"]["IPAddress"])


def main() -> None:
    """Start all, in any order: each process waits for those that it needs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--milvus", required=True, help="the URL of Milvus, as pods reach it")
    for manifest in deployments(parser.parse_args().milvus):
        start(manifest)
    print(f"http://{address('fovea-gateway')}:8080")  # noqa: T201 - what the script is for


def _output(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    main()
