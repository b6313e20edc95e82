from pathlib import Path

import numpy as np
from PIL import Image

from training.sheet import MOST_BYTES, RIGHT, WRONG, Row, write_sheet


def noise(size: tuple[int, int]) -> Image.Image:
    """An image that compresses as badly as any."""
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(pixels)


def has_colour(sheet: Image.Image, colour: tuple[int, int, int]) -> bool:
    return bool((np.abs(np.asarray(sheet, int) - colour).max(axis=2) < 25).sum() > 100)


def test_every_kind_of_query_stands_beside_its_framed_hits(tmp_path: Path) -> None:
    """Words, an image and both, whatever the shapes; only rows with a wrong hit show red."""
    tall, wide = Image.new("RGB", (40, 120), "navy"), Image.new("L", (300, 100), 200)
    all_right = [Row("a man in a navy coat " * 30, [(tall, True)] * 5), Row(wide, [(wide, True)] * 5)]

    write_sheet(all_right, tmp_path / "right.jpg")
    write_sheet([*all_right, Row(("navy", tall), [(tall, True), (wide, False)])], tmp_path / "wrong.jpg")

    right, wrong = Image.open(tmp_path / "right.jpg"), Image.open(tmp_path / "wrong.jpg")
    assert right.width == wrong.width == 1200
    assert right.height < wrong.height
    assert (has_colour(right, RIGHT), has_colour(right, WRONG)) == (True, False)
    assert has_colour(wrong, WRONG)


def test_a_sheet_stays_small(tmp_path: Path) -> None:
    """Five rows of images that hardly compress are saved coarser."""
    write_sheet([Row(noise((400, 300)), [(noise((400, 300)), False)] * 5)] * 5, tmp_path / "sheet.jpg")

    assert (tmp_path / "sheet.jpg").stat().st_size <= MOST_BYTES
