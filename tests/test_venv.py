"""`scripts/venv` chooses the ONNX Runtime of the machine, and what is installed for what."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

_UV = """#!/bin/sh
echo "$@" >>"$(dirname "$0")/calls"
[ "$2" != freeze ] || cat "$(dirname "$0")/frozen"
"""


@dataclass(frozen=True, slots=True)
class Checkout:
    """A folder with `scripts/venv` and an environment whose uv only writes down how it was called."""

    folder: Path

    def venv(self, *arguments: str) -> list[str]:
        """Run the script; the calls of uv."""
        path = os.pathsep.join([str(self.folder / "tools"), "/usr/bin", "/bin"])
        calls = self.folder / ".venv" / "bin" / "calls"
        calls.write_text("")
        subprocess.run([self.folder / "scripts" / "venv", *arguments], check=True, env={"PATH": path})
        return calls.read_text().splitlines()

    def add(self, name: str, content: str) -> None:
        """Write a file; scripts can be run."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(0o755)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    if any(Path("/dev").glob("nvidia*")) or shutil.which("nvidia-smi", path="/usr/bin:/bin"):
        pytest.skip("this machine has a GPU, so it cannot show what happens without one")
    checkout = Checkout(tmp_path)
    checkout.add("scripts/venv", (ROOT / "scripts" / "venv").read_text())
    checkout.add("constraints.txt", "nvidia-cufft==1\nonnxruntime-gpu==1\nonnxruntime==1\nuv==1\n")
    checkout.add(".venv/bin/python", "#!/bin/sh\n")
    checkout.add(".venv/bin/uv", _UV)
    return checkout


def test_without_a_gpu_the_wheel_for_cpus_is_installed(checkout: Checkout) -> None:
    """Nothing that only tests is installed before it is asked for."""
    assert checkout.venv()[-1].endswith("--editable .[local,cpu]")
    assert checkout.venv("testing")[-1].endswith("--editable .[local,cpu,dev]")


def test_with_a_gpu_cuda_is_installed(checkout: Checkout) -> None:
    """A machine with NVIDIA's driver gets it without asking."""
    checkout.add("tools/nvidia-smi", "#!/bin/sh\n")

    assert checkout.venv()[-1].endswith("--editable .[local,gpu]")


def test_an_environment_for_gpus_stays_one(checkout: Checkout) -> None:
    """CUDA and cuDNN are installed on request, and a later run does not replace the wheel."""
    assert checkout.venv("gpu")[-1].endswith("--editable .[local,gpu]")
    assert checkout.venv("testing")[-1].endswith("--editable .[local,gpu,dev]")


def test_the_other_wheel_is_removed_first(checkout: Checkout) -> None:
    """Both own one folder, so installing one over the other would leave a mixture."""
    checkout.add(".venv/lib/python3.11/site-packages/onnxruntime_gpu-1.31.1.dist-info/METADATA", "")
    removed, installed = checkout.venv()
    assert removed.startswith("pip uninstall")
    assert removed.endswith("onnxruntime onnxruntime-gpu")
    assert installed.startswith("pip install")

    shutil.rmtree(checkout.folder / ".venv" / "lib")
    checkout.add(".venv/lib/python3.11/site-packages/onnxruntime-1.31.1.dist-info/METADATA", "")
    assert len(checkout.venv()) == 1
    assert checkout.venv("gpu")[0].startswith("pip uninstall")


@pytest.mark.parametrize("installed", ["onnxruntime", "onnxruntime-gpu"])
def test_pins_of_both_wheels_stay(checkout: Checkout, installed: str) -> None:
    """Whatever this machine has, both wheels are pinned to its version, and NVIDIA's libraries stay pinned."""
    (checkout.folder / ".venv" / "bin" / "frozen").write_text(f"numpy==2\n{installed}==1.31.1\nuv==2\n")

    checkout.venv("constraints")

    assert (checkout.folder / "constraints.txt").read_text().splitlines() == [
        "numpy==2",
        "nvidia-cufft==1",
        "onnxruntime-gpu==1.31.1",
        "onnxruntime==1.31.1",
        "uv==2",
    ]
