from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from training.datasets.car_colours import COLOURS, load_car_colours
from training.datasets.report import DatasetError, FaultKind


def write_colours(root: Path, *rows: tuple[str, object]) -> None:
    cells = np.empty((len(rows), 2), object)
    for row, (name, number) in enumerate(rows):
        cells[row] = [name, np.array([[number]])]
    (root / "sv_data").mkdir()
    savemat(root / "sv_data/color_list.mat", {"color_list": cells})


def test_colours_are_read_by_name(tmp_path: Path) -> None:
    """-1 is a colour that nobody could tell."""
    write_colours(tmp_path, ("1/a.jpg", 0), ("1/b.jpg", 9), ("2/c.jpg", -1))

    colours = load_car_colours(tmp_path, expected={"colours": 2})

    assert colours.colours == {"1/a.jpg": "black", "1/b.jpg": "silver"}
    assert len(COLOURS) == 10


def test_rows_that_cannot_be_right_are_reported(tmp_path: Path) -> None:
    """Numbers of no colour, no numbers, and photos that are listed twice."""
    write_colours(tmp_path, ("1/a.jpg", 2), ("1/a.jpg", 3), ("1/b.jpg", 10), ("1/c.jpg", 1.5), ("1/d.jpg", -2))

    with pytest.raises(DatasetError, match="row 2: duplicate"):
        load_car_colours(tmp_path)
    colours = load_car_colours(tmp_path, allow_incomplete=True)

    assert colours.colours == {"1/a.jpg": "red"}
    assert colours.report.how_many() == {FaultKind.DUPLICATE: 1, FaultKind.BAD_RECORD: 3}


def test_another_table_is_no_list_of_colours(tmp_path: Path) -> None:
    """One fault, not one for each row."""
    (tmp_path / "sv_data").mkdir()
    savemat(tmp_path / "sv_data/color_list.mat", {"color_list": np.zeros((4, 3))})

    with pytest.raises(DatasetError, match="not rows of 2"):
        load_car_colours(tmp_path, allow_incomplete=True)
