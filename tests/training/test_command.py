import json
import runpy
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

import training.runner
from training.evaluate import SYSTEMS as SYSTEM_OF
from training.pedestrians.config import WorldConfig
from training.pedestrians.draw import draw_all

SYSTEMS = ("pedestrians", "text_sketch", "cars", "objects")
FIRST_OF_SPLIT = {"train": 1, "val": 11_004, "test": 12_004}

Command = Callable[..., None]


@pytest.fixture(autouse=True)
def same_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command's own number of threads would stay behind in this process."""
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Runs `python -m training.<system>` in this process, with what each step would write below a folder."""

    def run(system: str, *arguments: str, data: Path) -> None:
        config = f"training/configs/{system}_ci.toml"
        folders = ["--data", str(data), "--run", str(tmp_path / "run"), "--out", str(tmp_path / "models")]
        monkeypatch.setattr(sys, "argv", [f"training.{system}", *arguments, "--config", config, *folders])
        runpy.run_module(f"training.{system}", run_name="__main__")

    return run


@pytest.fixture
def trained_on(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The tasks that would have been trained."""
    tasks: list[Any] = []
    monkeypatch.setattr(training.runner, "fit", lambda task, *_, **__: tasks.append(task))
    return tasks


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Thirty-two drawn people in the layout of CUHK-PEDES."""
    folder = tmp_path / "people"
    draw_all(folder, WorldConfig(train=32, val=2, test=2, images=2, seed=1))
    return folder


def records(data: Path) -> list[dict[str, Any]]:
    """The records of a drawn list."""
    found: list[dict[str, Any]] = json.loads((data / "reid_raw.json").read_text())
    return found


def halve(image: Path) -> None:
    """Leave the first half of a file, as a download that stopped."""
    whole = image.read_bytes()
    image.write_bytes(whole[: len(whole) // 2])


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("step", ["train", "export", "evaluate"])
def test_missing_data_costs_one_line(command: Command, tmp_path: Path, system: str, step: str) -> None:
    """Whatever is asked of a dataset that is not there, the answer is a sentence and no traceback."""
    with pytest.raises(SystemExit) as ended:
        command(system, step, data=tmp_path / "nowhere")

    assert str(tmp_path) in str(ended.value)
    assert "\n" not in str(ended.value)


def test_missing_photos_cost_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The general embedding, which is trained on photos that are at hand, says where they should be."""
    folders = ["--data", str(tmp_path), "--run", str(tmp_path), "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["training.general", "prepare", "--realdata", str(tmp_path / "nowhere"), *folders])

    with pytest.raises(SystemExit, match="nowhere") as ended:
        runpy.run_module("training.general", run_name="__main__")

    assert "\n" not in str(ended.value)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": 1}', '[{"id": "x"}]', "\udcff"])
def test_broken_list_costs_one_line(command: Command, tmp_path: Path, content: str) -> None:
    """A list that cannot be read, or says nothing of use, is named."""
    (tmp_path / "imgs").mkdir()
    (tmp_path / "reid_raw.json").write_bytes(content.encode(errors="surrogateescape"))

    with pytest.raises(SystemExit, match=r"training\.pedestrians train: .*(reid_raw|Nothing|nothing)") as ended:
        command("pedestrians", "train", data=tmp_path)

    assert "\n" not in str(ended.value)


def test_list_without_splits_gets_the_published_ones(command: Command, people: Path, trained_on: list[Any]) -> None:
    """The oldest form of the list says nothing of splits: the ids decide."""
    rows = records(people)
    first = {split: min(row["id"] for row in rows if row["split"] == split) for split in FIRST_OF_SPLIT}
    for row in rows:
        split = row.pop("split")
        row["id"] += FIRST_OF_SPLIT[split] - first[split]
    (people / "reid_raw.json").write_text(json.dumps(rows))

    command("pedestrians", "train", data=people)

    assert len(trained_on) == 1


def test_truncated_image_is_found_before_training(command: Command, people: Path, trained_on: list[Any]) -> None:
    """It is named before anything is trained, and left out with --allow-incomplete."""
    name = next(row["file_path"] for row in records(people) if row["split"] == "train")
    halve(people / "imgs" / name)

    with pytest.raises(SystemExit, match=rf"broken file.*{Path(name).name}.*--allow-incomplete"):
        command("pedestrians", "train", data=people)
    assert not trained_on

    command("pedestrians", "train", "--allow-incomplete", data=people)
    assert len(trained_on) == 1


class NothingToMeasure:
    """An evaluation without a dataset."""

    def offline(self, models: Path) -> dict[str, float]:
        """No figures."""
        return {}

    def online(self, served: None) -> dict[str, float]:
        """No figures."""
        return {}

    def draw_sheet(self, served: None, path: Path) -> None:
        """No sheet."""


@pytest.mark.parametrize("system", SYSTEMS)
def test_evaluation_allows_an_incomplete_set(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, system: str
) -> None:
    """--allow-incomplete holds for the reading of the test split, in every system."""
    allowed: list[bool] = []

    def spy(*_: Any, allow_incomplete: bool = False) -> NothingToMeasure:
        allowed.append(allow_incomplete)
        return NothingToMeasure()

    monkeypatch.setattr(type(SYSTEM_OF[system]), "evaluation", spy)
    monkeypatch.setattr(training.runner, "served", lambda *_: nullcontext())

    command(system, "evaluate", "--allow-incomplete", data=tmp_path)

    assert allowed == [True]
