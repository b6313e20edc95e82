"""The import contracts of pyproject.toml, each seen broken by a module that breaks it."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
_LAYERS = "Tests, then benchmarks, then processes, then their tools, then the contract"
_TESTS = "Tests of one package know no other package's tests"
_SERVICES = "Services meet only over the wire, and share only the stores"
_ENCODERS = "Importing and serving know nothing of each other, and share images and bundles"
_STORES = "Only the stores know Milvus and Redis"
_PLANTED = (
    ("encoders/planted_upward.py", "import rpc.errors", _LAYERS),
    ("gateway/planted_sideways.py", "import services.search.settings", _LAYERS),
    ("domain/planted_up.py", "import rpc.errors", _LAYERS),
    ("sources/planted_up.py", "import cli.main", _LAYERS),
    ("services/stores/planted_test.py", "import tests.conftest", _LAYERS),
    ("rpc/planted_testbed.py", "import testbed.servers", _LAYERS),
    ("training/planted_script.py", "import scripts.settings_tables", _LAYERS),
    ("training/planted_process.py", "import cli.main", _LAYERS),
    ("world/planted_training.py", "import training.loop", _LAYERS),
    ("testbed/planted_benchmark.py", "import benchmarks.load", _LAYERS),
    ("benchmarks/nearest/planted_test.py", "import tests.conftest", _LAYERS),
    ("scripts/planted_test.py", "import tests.conftest", _LAYERS),
    ("tests/gateway/planted_neighbour.py", "import tests.cli.running", _TESTS),
    ("tests/support/planted_user.py", "import tests.world.test_scene", _TESTS),
    ("services/search/planted_neighbour.py", "import services.ingest.settings", _SERVICES),
    ("encoders/importers/planted_serving.py", "import encoders.serving.session", _ENCODERS),
    ("encoders/serving/planted_importer.py", "import encoders.importers.trial", _ENCODERS),
    ("encoders/images/planted_serving.py", "import encoders.serving.session", _ENCODERS),
    ("cli/planted_drawing.py", "import world.gallery", "What serves knows nothing of drawn images"),
    ("services/encoder/planted_torch.py", "import torch", "Only training imports torch"),
    ("services/search/planted_store.py", "import pymilvus", _STORES),
    ("services/ingest/planted_store.py", "import redis.asyncio", _STORES),
    ("encoders/planted_wire.py", "import grpc", "Encoders know no wire"),
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
