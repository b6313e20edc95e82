from pathlib import Path

import pytest

from tests.cli.running import answer, fovea
from tests.support.bundles import tiny_detector_bundle, tiny_image_bundle


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with two tiny bundles."""
    tiny_image_bundle(tmp_path / "tiny")
    tiny_detector_bundle(tmp_path / "tiny_detector")
    return tmp_path


def test_list_shows_bundles_of_a_named_folder(models: Path) -> None:
    """A folder of bundles and a bundle's own folder are both accepted."""
    listed = {row["name"]: row for row in answer("models", "list", "--models", models)}
    alone = {row["name"] for row in answer("models", "list", "--models", models / "tiny")}

    assert (listed["tiny"]["dimension"], listed["tiny_detector"]["labels"]) == (16, 4)
    assert "tiny" in alone
    assert "tiny_detector" not in alone


def test_verify_names_the_damaged_file(models: Path) -> None:
    """One changed byte fails the verification with the file's name."""
    model = next((models / "tiny").glob("*.onnx"))
    model.write_bytes(model.read_bytes()[:-1] + b"x")

    done = fovea("models", "verify", models / "tiny", models / "tiny_detector")

    assert done.returncode == 1
    assert model.name in done.stdout
    assert "whole" in done.stdout


def test_two_bundles_of_one_name_are_refused(models: Path, tmp_path: Path) -> None:
    """A name stands for one bundle only."""
    tiny_image_bundle(tmp_path / "again" / "tiny")

    done = fovea("models", "list", "--models", models, "--models", tmp_path / "again")

    assert done.returncode == 1
    assert "two bundles are called tiny" in done.stderr


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("model.onnx", "--spec"),
        ("yolo.weights", "--cfg"),
        ("resnet18.pth", "fovea models import resnet18 --weights"),
        ("notes.txt", "neither .onnx nor Darknet .weights"),
    ],
)
def test_import_says_what_is_missing(tmp_path: Path, source: str, complaint: str) -> None:
    """An import that lacks something costs one line that names it."""
    (tmp_path / source).write_text("something")

    done = fovea("models", "import", tmp_path / source, "--name", "mine", "--out", tmp_path)

    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert complaint in done.stderr


def test_a_web_page_is_no_model(tmp_path: Path) -> None:
    """A download that went wrong is recognised."""
    (tmp_path / "model.onnx").write_text("<!DOCTYPE html><html></html>")
    (tmp_path / "spec.json").write_text('{"size": [8, 8]}')

    done = fovea(
        "models",
        "import",
        tmp_path / "model.onnx",
        "--name",
        "mine",
        "--spec",
        tmp_path / "spec.json",
        "--out",
        tmp_path,
    )

    assert done.returncode == 1
    assert "is a web page" in done.stderr


def test_doctor_finds_this_machine_able(tmp_path: Path) -> None:
    """The doctor starts the embedded stores and looks at everything else."""
    done = fovea("doctor", "--port", 0, "--json", data=tmp_path / "data")

    assert '"embedded stores"' in done.stdout
    assert "Redis and Milvus start" in done.stdout
