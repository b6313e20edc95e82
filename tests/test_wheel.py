"""What an installed Fovea holds."""

import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).parents[1]
SERVES = {"cli", "domain", "encoders", "fovea", "gateway", "models", "rpc", "services", "sources"}


def _packed(project: Path, out: Path) -> tuple[set[str], list[str]]:
    """The packages and the files of the wheel of a project."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(build, cwd=project, check=True, capture_output=True, timeout=120)
    (wheel,) = out.glob("*.whl")
    names = [name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name]
    return {name.split("/")[0] for name in names}, names


def test_wheel_holds_what_serves_and_nothing_else(tmp_path: Path) -> None:
    """Neither training nor tests are in it; the page, the stubs, the demo's images and the bundles that ship are."""
    packages, names = _packed(ROOT, tmp_path)

    assert packages == SERVES
    for needed in (
        "cli/main.py",
        "cli/gallery/gallery.jsonl",
        "cli/photos/photos.jsonl",
        "cli/photos/ATTRIBUTION.md",
        "cli/recipes/clip-vit-b-32.json",
        "fovea/search/v1/search_pb2.py",
        "models/general/bundle.json",
        "models/NOTICE.md",
    ):
        assert needed in names
    assert any(name.startswith("gateway/page/") for name in names)


def test_wheel_of_training_holds_what_makes_models(tmp_path: Path) -> None:
    """Training with its configs and the drawn world; Fovea itself is what it depends on."""
    packages, names = _packed(ROOT / "packages" / "fovea-training", tmp_path)

    assert packages == {"training", "world"}
    assert {"training/general/__main__.py", "training/configs/general.toml", "world/gallery.py"} <= set(names)


def test_both_distributions_have_one_version() -> None:
    """They are made of one commit, and are released together."""
    serving, training = (
        tomllib.loads((project / "pyproject.toml").read_text())["project"]
        for project in (ROOT, ROOT / "packages" / "fovea-training")
    )

    assert training["version"] == serving["version"]
    assert "fovea[local]" in training["dependencies"]
