"""The bill of materials of each image: what it lists is what the image has, each with its version and licence."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
# What redis needs below Python 3.11.3, which constraints.txt is not of; scripts/wheelhouse pins it.
OF_OLDER_PYTHON = "async-timeout==5.0.1"
# Their metadata name no licence; each of their files does.
WITHOUT_LICENCE = {"protobuf"}

pytestmark = pytest.mark.more


@pytest.fixture(scope="module")
def bills(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """By the name of the image."""
    folder = tmp_path_factory.mktemp("bills")
    subprocess.run([ROOT / "scripts" / "sbom", folder], check=True, timeout=280)
    return {path.name.removesuffix(".cdx.json"): json.loads(path.read_text()) for path in folder.iterdir()}


def test_every_package_has_its_pinned_version_and_a_licence(bills: dict[str, Any]) -> None:
    """Nothing of training or testing is among them."""
    pinned = {OF_OLDER_PYTHON, *(ROOT / "constraints.txt").read_text().splitlines()}

    assert set(bills) == {"encoder-cpu", "search", "ingest", "gateway"}
    for image, bill in bills.items():
        listed = {component["name"].replace("_", "-").lower(): component for component in bill["components"]}
        assert {f"{name}=={component['version']}" for name, component in listed.items()} <= pinned, image
        assert {name for name, component in listed.items() if not component.get("licenses")} <= WITHOUT_LICENCE, image
        assert not {"torch", "pytest", "onnx"} & set(listed), image
        assert ("onnxruntime" in listed) == (image == "encoder-cpu")
        assert ("pymilvus" in listed) == (image in {"search", "ingest"})
