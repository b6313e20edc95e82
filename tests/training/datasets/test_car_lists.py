import csv
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from training.datasets.car_lists import load_listed_photos
from training.datasets.report import DatasetError, FaultKind

WriteImage = Callable[..., Path]


def write_list(path: Path, *rows: Sequence[object], columns: Sequence[str] = ("Path", "Index", "Class")) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([columns, *rows])


@pytest.fixture
def layout(tmp_path: Path, write_image: WriteImage) -> Path:
    """Three photos, two queries."""
    for name in ("a, b.jpg", "b.jpg", "c.jpg", "q0.jpg", "q1.jpg"):
        write_image(name)
    write_list(tmp_path / "indexinfo.csv", ("c.jpg", 2, 7), ("a, b.jpg", 0, 7), ("b.jpg", 1, 9))
    write_list(tmp_path / "tindexinfo.csv", ("q0.jpg", 0, 7), ("q1.jpg", 1, 9))
    return tmp_path


def test_lists_are_read_by_index(layout: Path) -> None:
    """The database's order is that of the indices, not that of the rows; without a choice all queries are asked."""
    photos = load_listed_photos(layout, expected={"photos": 3, "queries": 2, "classes": 2})

    assert [(photo.name, photo.label) for photo in photos.database] == [("a, b.jpg", 7), ("b.jpg", 9), ("c.jpg", 7)]
    assert [photo.name for photo in photos.queries] == ["q0.jpg", "q1.jpg"]


def test_an_array_chooses_queries(layout: Path) -> None:
    """In its order; a class that contradicts the list is a fault."""
    np.save(layout / "test.npy", np.array([[1, 9]]))
    assert [photo.name for photo in load_listed_photos(layout).queries] == ["q1.jpg"]

    np.save(layout / "test.npy", np.array([[1, 9], [0, 8], [1, 9], [5, 7]]))
    photos = load_listed_photos(layout, allow_incomplete=True)
    assert [photo.name for photo in photos.queries] == ["q1.jpg"]
    assert photos.report.how_many() == {FaultKind.BAD_RECORD: 2, FaultKind.DUPLICATE: 1}


def test_nothing_is_unpickled(layout: Path) -> None:
    """An array of objects is broken, and so is a file of another shape."""
    for content in (np.array([[{}, 1]], object), np.zeros((2, 3), int), np.zeros((2, 2))):
        np.save(layout / "test.npy", content, allow_pickle=True)
        with pytest.raises(DatasetError, match=r"test.npy: broken file"):
            load_listed_photos(layout)
    (layout / "test.npy").write_bytes(pickle.dumps([[1, 9]]))
    with pytest.raises(DatasetError, match=r"test.npy: broken file: it is not a plain array"):
        load_listed_photos(layout)


def test_every_planted_fault_is_reported(layout: Path) -> None:
    """By the line that a text editor shows."""
    rows = [("c.jpg", 0, 7), ("c.jpg", 0, 7), ("x.jpg", 1, 7), ("../c.jpg", 2, 7), ("c.jpg", 9, 7), ("c.jpg", 3, "one")]
    write_list(layout / "indexinfo.csv", *rows, ("",), ("b.jpg", 4, "²"))

    with pytest.raises(DatasetError, match=r"indexinfo.csv, line 4: missing file: x.jpg is not there"):
        load_listed_photos(layout)
    photos = load_listed_photos(layout, allow_incomplete=True)

    assert [photo.name for photo in photos.database] == ["c.jpg"]
    assert photos.report.how_many() == {
        FaultKind.DUPLICATE: 1,
        FaultKind.MISSING_FILE: 1,
        FaultKind.OUTSIDE_ROOT: 1,
        FaultKind.BAD_RECORD: 4,
    }


def test_missing_columns_and_broken_quotes_are_reported(layout: Path) -> None:
    """With the name of the file, and of the column."""
    write_list(layout / "tindexinfo.csv", ("q0.jpg", 0), columns=("Path", "Index"))
    (layout / "indexinfo.csv").write_text('Path,Index,Class\n"c.jpg,0,7\n')

    with pytest.raises(
        DatasetError, match=r"(?s)Nothing .*indexinfo.csv breaks at line .*tindexinfo.csv has no column Class"
    ):
        load_listed_photos(layout, allow_incomplete=True)
