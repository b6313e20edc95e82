"""Podman with storage of its own, so that a check leaves nothing behind; images are built without a network."""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.services import REPOSITORY

TARGETS = ("encoder-cpu", "search", "ingest", "gateway", "bundles")
BASE = "localhost/fovea-base"
# Debian's own Python on a root that has no package lists, manuals or Perl.
_BASE = (
    "--variant=essential",
    "--include=usr-is-merged,python3-minimal,libpython3-stdlib,libstdc++6",
    "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
    *(f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in ("man", "locale", "doc")),
    '--customize-hook=rm -rf "$1"/var/cache/apt/* "$1"/var/cache/debconf/*',
    "bookworm",
)
# runc, because crun refuses the mixed cgroups of some machines; limits that a sandboxed root may set.
_CONFIGURATION = """
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
"""


@dataclass(frozen=True, slots=True)
class Podman:
    """The command, with its configuration and storage in one folder."""

    folder: Path

    def run(self, *arguments: str, timeout_s: float = 60.0) -> str:
        """What a command prints; AssertionError with its errors where it fails."""
        done = self._call(("podman", *arguments), timeout_s)
        assert done.returncode == 0, f"podman {' '.join(arguments)}: {done.stderr[-2000:]}"
        return done.stdout.strip()

    def build(self, target: str) -> None:
        """Build one target of the Dockerfile in a network namespace with nothing in it."""
        options = ("--isolation=chroot", "--layers", "--pull-never", "--build-arg", f"BASE={BASE}")
        command = ("unshare", "--net", "buildah", "build", *options, "--file", "deploy/Dockerfile", "--target", target)
        done = self._call((*command, "--tag", f"fovea/{target}", "."), timeout_s=600.0)
        assert done.returncode == 0, done.stderr[-2000:]

    def logs(self, container: str) -> str:
        """What a container printed so far."""
        done = self._call(("podman", "logs", container), 60.0)
        return done.stdout + done.stderr

    def address(self, container: str) -> str:
        """The container's address on its first network."""
        return self.run(
            "inspect", container, "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
        ).split()[0]

    def size_mb(self, image: str) -> float:
        """The size of an image with its base, uncompressed."""
        return int(self.run("image", "inspect", image, "--format", "{{.Size}}")) / 1e6

    def _call(self, command: tuple[str, ...], timeout_s: float) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {
            "CONTAINERS_CONF": str(self.folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"),
        }
        return subprocess.run(
            command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False
        )


@contextmanager
def podman_with_images() -> Iterator[Podman]:
    """Podman with all images that this project builds for the CPU; containers and images are gone at the end."""
    with tempfile.TemporaryDirectory(prefix="fovea-podman-") as name:
        folder = Path(name)
        podman = Podman(folder)
        (folder / "containers.conf").write_text(_CONFIGURATION)
        (folder / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/graph"\nrunroot = "{folder}/run"\n'
        )
        try:
            base = folder / "base.tar"
            subprocess.run(["mmdebstrap", *_BASE, base], check=True, capture_output=True, timeout=600)
            podman.run("import", str(base), BASE)
            base.unlink()
            for target in TARGETS:
                podman.build(target)
            yield podman
        finally:
            podman.run("pod", "rm", "--all", "--force", "--time", "1")
            podman.run("rm", "--all", "--force", "--time", "1")
            podman.run("network", "prune", "--force")
            podman.run("rmi", "--all", "--force", timeout_s=300.0)
            subprocess.run(["umount", "--lazy", folder / "graph" / "overlay"], check=False, capture_output=True)


def eventually_in(podman: Podman, container: str, text: str, *, timeout_s: float = 60.0) -> None:
    """Wait until a container has printed `text`."""
    give_up_s = time.monotonic() + timeout_s
    while text not in (printed := podman.logs(container)):
        assert time.monotonic() < give_up_s, printed[-2000:]
        time.sleep(0.2)
