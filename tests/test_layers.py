"""The import contracts of pyproject.toml, each seen broken by a module that breaks it."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
_PLANTED = (
    ("encoders/planted_upward.py", "import rpc.errors", "Processes, then their tools, then the contract"),
    (
        "gateway/planted_sideways.py",
        "import services.search.settings",
        "Processes, then their tools, then the contract",
    ),
    ("domain/planted_up.py", "import rpc.errors", "Processes, then their tools, then the contract"),
    ("sources/planted_up.py", "import cli.main", "Processes, then their tools, then the contract"),
    (
        "services/search/planted_neighbour.py",
        "import services.ingest.settings",
        "Services meet only over the wire, and share only the stores",
    ),
    ("services/encoder/planted_torch.py", "import torch", "Only training imports torch"),
    ("services/search/planted_store.py", "import pymilvus", "Only the stores know Milvus and Redis"),
    ("services/ingest/planted_store.py", "import redis.asyncio", "Only the stores know Milvus and Redis"),
    ("encoders/planted_wire.py", "import grpc", "Encoders know no wire"),
    (
        "services/stores/planted_test.py",
        "import tests.conftest",
        "What is served and trained knows no test and no benchmark",
    ),
    ("rpc/planted_testbed.py", "import testbed.servers", "What is served and trained knows no test and no benchmark"),
    ("benchmarks/planted_test.py", "import tests.conftest", "Benchmarks and the testbed know no test"),
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What import-linter says of a copy of the project with every planted module in it."""
    copy = tmp_path_factory.mktemp("planted")
    shutil.copy(ROOT / "pyproject.toml", copy)
    for package in _contracts()["root_packages"]:
        source = ROOT / ("protos/fovea" if package == "fovea" else package)
        shutil.copytree(source, copy / package, ignore=shutil.ignore_patterns("__pycache__", "page", "*.jpg"))
    for path, statement, _ in _PLANTED:
        (copy / path).write_text(f"{statement}\n")
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"]
    return subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize(("path", "statement", "contract"), _PLANTED)
def test_violation_breaks_its_contract(report: str, path: str, statement: str, contract: str) -> None:
    """A module that imports what it must not is named below the contract that forbids it."""
    broken = report.partition("Broken contracts")[2]
    module = path.removesuffix(".py").replace("/", ".")

    _, _, below = broken.partition(contract)
    assert f"{contract} BROKEN" in report
    assert f"{module} -> {statement.split()[1].split('.', maxsplit=1)[0]}" in below


def test_every_contract_has_a_violation() -> None:
    """A contract that nobody has seen broken may be one that cannot break."""
    assert {contract["name"] for contract in _contracts()["contracts"]} == {contract for _, _, contract in _PLANTED}


def _contracts() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    return found
