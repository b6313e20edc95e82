import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from training.datasets.pedestrians import PUBLISHED_IDS, load_pedestrians
from training.datasets.report import DatasetError, FaultKind

WriteImage = Callable[..., Path]


def record(name: str, identity: object, split: str | None = "train", *captions: str) -> dict[str, Any]:
    """One record as published."""
    fields: dict[str, Any] = {"file_path": name, "id": identity, "captions": list(captions or ("A man.", "In red."))}
    return fields if split is None else {"split": split, **fields}


def write_list(root: Path, rows: Any, name: str = "reid_raw.json") -> None:
    (root / name).write_text(json.dumps(rows), encoding="utf-8")


def test_the_published_list_is_read(tmp_path: Path, write_image: WriteImage) -> None:
    """Labels count from 0, the gallery has each image once, and every caption knows its image's row."""
    names = ["cam_a/000_1.png", "CUHK03/0001_1.png", "CUHK03/0001_2.png"]
    for name in names:
        write_image(f"imgs/{name}")
    test = [record(names[1], 12004, "test"), record(names[2], 12004, "test", "One.", "Two.", "Three.")]
    write_list(tmp_path, [record(names[0], 1), *test])

    people = load_pedestrians(tmp_path, expected={"test images": 2, "test captions": 5, "test identities": 1})

    assert people.report.is_complete
    assert [person.label for person in people.images] == [0, 12003, 12003]
    assert [person.name for person in people.of("test")] == names[1:]
    assert [query.image for query in people.queries("test")] == [0, 0, 1, 1, 1]
    assert people.of("train")[0].path == (tmp_path / "imgs" / names[0]).resolve()


def test_a_list_without_splits_is_read(tmp_path: Path, write_image: WriteImage) -> None:
    """Its splits come from the ids when the caller says so, and asking for one before that says how."""
    for number in (1, 11_500, 12_004):
        write_image(f"imgs/Market/{number}.jpg")
    rows = [record(f"Market/{number}.jpg", number, None) for number in (1, 11_500, 12_004)]
    write_list(tmp_path, rows, "caption_all.json")

    with pytest.raises(ValueError, match="id_splits"):
        load_pedestrians(tmp_path).of("test")
    people = load_pedestrians(tmp_path, id_splits=PUBLISHED_IDS)
    assert [person.split for person in people.images] == ["train", "val", "test"]


def test_every_planted_fault_is_reported(tmp_path: Path, write_image: WriteImage) -> None:
    """The message names file and record of each; with allow_incomplete the loader returns the rest."""
    for name in ("good.jpg", "twice.jpg", "über.jpg", "leak.jpg"):
        write_image(f"imgs/{name}")
    write_image("secret.jpg")
    (tmp_path / "imgs" / "empty.jpg").touch()
    rows: list[Any] = [
        record("good.jpg", 1),
        record("absent.jpg", 1),
        record("twice.jpg", 2),
        record("twice.jpg", 2),
        record("../secret.jpg", 3),
        record("über.jpg", 4),
        record("good.jpg", 0),
        record("empty.jpg", 5),
        {**record("good.jpg", 1), "captions": "A man."},
        record("leak.jpg", 1, "test"),
        "no record",
    ]
    write_list(tmp_path, rows)

    with pytest.raises(DatasetError, match=r"reid_raw.json, record 1: missing file: imgs/absent.jpg") as raised:
        load_pedestrians(tmp_path)
    people = load_pedestrians(tmp_path, allow_incomplete=True)

    assert "allow_incomplete=True" in str(raised.value)
    assert str(raised.value).isascii()
    assert [person.name for person in people.images] == ["good.jpg", "twice.jpg", "über.jpg"]
    assert people.report == raised.value.report
    assert people.report.how_many() == {
        FaultKind.MISSING_FILE: 1,
        FaultKind.DUPLICATE: 2,
        FaultKind.OUTSIDE_ROOT: 1,
        FaultKind.NON_ASCII_NAME: 1,
        FaultKind.BAD_RECORD: 3,
        FaultKind.BROKEN_FILE: 1,
    }


def test_a_link_out_of_the_dataset_is_not_followed(tmp_path: Path, write_image: WriteImage) -> None:
    """Though the whole folder of images may be a link to another disk."""
    write_image("elsewhere/good.jpg")
    write_image("secret.jpg")
    (tmp_path / "elsewhere" / "out.jpg").symlink_to(tmp_path / "secret.jpg")
    root = tmp_path / "root"
    root.mkdir()
    (root / "imgs").symlink_to(tmp_path / "elsewhere")
    write_list(root, [record("good.jpg", 1), record("out.jpg", 2)])

    people = load_pedestrians(root, allow_incomplete=True)

    assert [person.name for person in people.images] == ["good.jpg"]
    assert people.report.how_many() == {FaultKind.OUTSIDE_ROOT: 1}


def test_broken_json_stops_even_with_allow_incomplete(tmp_path: Path) -> None:
    """There is no rest to use; the message says where the file breaks."""
    (tmp_path / "imgs").mkdir()
    (tmp_path / "reid_raw.json").write_text('[{"id": 1,\n')

    with pytest.raises(DatasetError, match=r"(?s)Nothing .* can be used.*reid_raw.json is not JSON: .* line 2"):
        load_pedestrians(tmp_path, allow_incomplete=True)


def test_a_wrong_count_is_a_fault(tmp_path: Path, write_image: WriteImage) -> None:
    """A copy that lost images and their records together shows only in its counts."""
    write_image("imgs/a.jpg")
    write_list(tmp_path, [record("a.jpg", 1)])

    with pytest.raises(DatasetError, match="wrong count: 1 train images can be used where 34,054 are expected"):
        load_pedestrians(tmp_path, expected={"train images": 34_054})
