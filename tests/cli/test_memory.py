"""What the system keeps in memory, and what its command imports for it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from encoders.serving.cuda_libraries import has_gpu
from tests.cli.running import Up

# Shared pages are counted in parts (PSS), so that the sum is what the system takes of the machine.
_MOST_MIB = 700
_IMPORTERS = {"onnx", "onnxruntime", "tokenizers", "httpx", "encoders.importers.apart"}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts shared pages in parts")
def test_the_idle_system_fits(tmp_path: Path) -> None:
    """Every process together, with all models that ship, before the first image; on a GPU there are CUDA and more fronts."""
    if has_gpu():
        pytest.skip("the bound is for machines without a GPU")
    with Up(tmp_path / "data") as up:
        taken = {name: sum(map(_pss_mib, _with_children(pid))) for name, pid in up.pids.items() if name != "supervisor"}
        taken["supervisor"] = _pss_mib(up.pids["supervisor"])

        assert sum(taken.values()) <= _MOST_MIB, taken


@pytest.mark.parametrize(
    ("module", "unneeded"),
    [("cli.main", _IMPORTERS | {"cli.commands.up", "rich.table"}), ("cli.commands.up", _IMPORTERS | {"numpy", "PIL"})],
)
def test_a_command_imports_no_other_ones_libraries(module: str, unneeded: set[str]) -> None:
    """`fovea --help` needs no command, and the supervisor of `fovea up` keeps nothing that imports models."""
    listing = f"import json, sys, {module}; print(json.dumps(list(sys.modules)))"

    imported = json.loads(subprocess.check_output([sys.executable, "-c", listing], text=True))

    assert module in imported
    assert not unneeded & set(imported)


def _with_children(pid: int) -> list[int]:
    children = (Path(f"/proc/{pid}/task/{pid}/children").read_text()).split()
    return [pid, *(each for child in children for each in _with_children(int(child)))]


def _pss_mib(pid: int) -> float:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) / 1024
