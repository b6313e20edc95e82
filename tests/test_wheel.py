"""What an installed Fovea holds."""

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).parents[1]
SERVES = {"cli", "domain", "encoders", "fovea", "gateway", "models", "rpc", "services", "sources"}


def test_wheel_holds_what_serves_and_nothing_else(tmp_path: Path) -> None:
    """Neither training nor tests travel; the page, the stubs and the bundles that ship do."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)

    (wheel,) = tmp_path.glob("*.whl")
    names = ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == SERVES
    for needed in ("cli/main.py", "fovea/search/v1/search_pb2.py", "models/general/bundle.json"):
        assert needed in names
    assert any(name.startswith("gateway/page/") for name in names)
