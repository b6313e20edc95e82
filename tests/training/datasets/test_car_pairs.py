from collections.abc import Callable
from pathlib import Path

import pytest

from training.datasets.car_pairs import Difficulty, load_car_pairs
from training.datasets.report import DatasetError, FaultKind

WriteImage = Callable[..., Path]


def write_list(root: Path, difficulty: Difficulty, *lines: str) -> None:
    folder = root / "data/train_test_split/verification"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"verification_pairs_{difficulty}.txt").write_text("".join(f"{line}\n" for line in lines))


def test_pairs_come_in_the_lists_order(tmp_path: Path, write_image: WriteImage) -> None:
    """Each grade of difficulty is a list of its own."""
    for name in ("1/7/2014/a", "1/7/2013/b", "2/9/2014/c"):
        write_image(f"data/image/{name}.jpg")
    write_list(tmp_path, "easy", "1/7/2014/a.jpg 2/9/2014/c.jpg 0", "", "1/7/2014/a.jpg 1/7/2013/b.jpg 1")
    write_list(tmp_path, "hard", "2/9/2014/c.jpg 1/7/2014/a.jpg 0")

    easy, hard = load_car_pairs(tmp_path, "easy"), load_car_pairs(tmp_path, "hard")

    assert easy.is_same.tolist() == [False, True]
    assert easy.report.counts == {"same pairs": 1, "different pairs": 1}
    assert [pair.second.name for pair in easy.pairs] == ["c.jpg", "b.jpg"]
    assert hard.pairs[0].first.name == "c.jpg"


def test_lines_that_are_not_pairs_are_reported(tmp_path: Path, write_image: WriteImage) -> None:
    """By line: too few fields, another answer, a photo that nobody has."""
    write_image("data/image/1/7/2014/a.jpg")
    photo = "1/7/2014/a.jpg"
    write_list(tmp_path, "medium", f"{photo} {photo} 1", f"{photo} 1", f"{photo} {photo} yes", f"{photo} gone.jpg 0")

    with pytest.raises(DatasetError, match=r"line 2: bad record: .* is not two photos and 0 or 1"):
        load_car_pairs(tmp_path, "medium")
    pairs = load_car_pairs(tmp_path, "medium", allow_incomplete=True)

    assert len(pairs.pairs) == 1
    assert pairs.report.how_many() == {FaultKind.BAD_RECORD: 2, FaultKind.MISSING_FILE: 1}
