"""What an installed Fovea holds."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import fovea
from fovea.search.v1 import search_pb2, search_pb2_grpc

ROOT = Path(__file__).parents[1]
SERVES = {"cli", "domain", "encoders", "gateway", "models", "rpc", "services", "sources"}
PACKAGES = ROOT / "packages"


def _packed(project: Path, out: Path) -> tuple[set[str], list[str]]:
    """The packages and the files of the wheel of a project."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(build, cwd=project, check=True, capture_output=True, timeout=120)
    (wheel,) = out.glob("*.whl")
    names = [name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name]
    return {name.split("/")[0] for name in names}, names


def test_wheel_holds_what_serves_and_nothing_else(tmp_path: Path) -> None:
    """Neither training nor tests are in it; the page, the demo's images and the bundles that ship are."""
    packages, names = _packed(ROOT, tmp_path)

    assert packages == SERVES
    for needed in (
        "cli/main.py",
        "cli/gallery/gallery.jsonl",
        "cli/photos/photos.jsonl",
        "cli/photos/ATTRIBUTION.md",
        "cli/recipes/clip-vit-b-32.json",
        "models/general/bundle.json",
        "models/NOTICE.md",
    ):
        assert needed in names
    assert any(name.startswith("gateway/page/") for name in names)


def test_wheel_of_training_holds_what_makes_models(tmp_path: Path) -> None:
    """Training with its configs and the drawn world; Fovea itself is what it depends on."""
    packages, names = _packed(PACKAGES / "fovea-training", tmp_path)

    assert packages == {"training", "world"}
    assert {"training/general/__main__.py", "training/configs/general.toml", "world/gallery.py"} <= set(names)


def test_wheel_of_the_client_holds_the_contract(tmp_path: Path) -> None:
    """One package, with every proto and every stub: Fovea itself has its stubs from there."""
    packages, names = _packed(PACKAGES / "fovea-client", tmp_path)
    contract = {path.relative_to(ROOT / "protos") for path in (ROOT / "protos" / "fovea").rglob("*.p*")}

    assert packages == {"fovea"}
    assert {str(path) for path in contract if path.suffix in {".proto", ".py", ".pyi"}} <= set(names)
    assert "fovea/py.typed" in names


def test_stubs_are_read_where_they_stand() -> None:
    """Not from a copy in this environment, which would be of the day on which it was made."""
    assert Path(fovea.__file__).parents[1] == ROOT / "protos"


def test_client_depends_on_what_its_stubs_were_made_for(tmp_path: Path) -> None:
    """An older grpcio or protobuf is refused when it is installed, not when it is imported."""
    dependencies = set(_project(PACKAGES / "fovea-client")["dependencies"])
    protobuf = re.search(r"Protobuf Python Version: ([\d.]+)", Path(search_pb2.__file__).read_text())

    assert protobuf is not None
    assert dependencies == {
        f"grpcio >= {search_pb2_grpc.GRPC_GENERATED_VERSION}",
        f"protobuf >= {protobuf[1]}",
        "googleapis-common-protos",
        "numpy",
    }


def test_all_distributions_have_one_version() -> None:
    """They are made of one commit, and are released together."""
    serving, training, client = map(_project, (ROOT, PACKAGES / "fovea-training", PACKAGES / "fovea-client"))

    assert training["version"] == client["version"] == serving["version"]
    assert "fovea[local]" in training["dependencies"]
    assert "fovea-client" in serving["dependencies"]


def _project(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    return found
