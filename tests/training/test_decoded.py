from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from encoders.bundle import Preprocessing
from training.datasets.pictures import PictureError
from training.decoded import cached, decoded

PREPROCESSING = Preprocessing(size=(8, 6))


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{shade}.png" for shade in (0, 120, 240)]
    for path in paths:
        Image.new("RGB", (20, 10), (int(path.stem),) * 3).save(path)
    return paths


def test_pictures_keep_their_order(pictures: list[Path], tmp_path: Path) -> None:
    """Several threads decode; row i is picture i, at once as from the map."""
    for pixels in (decoded(pictures, PREPROCESSING), cached(pictures, PREPROCESSING, tmp_path / "cache")):
        assert pixels.shape == (3, 6, 8, 3)
        assert pixels.dtype == np.uint8
        assert pixels[:, 0, 0, 0].tolist() == [0, 120, 240]


def test_a_map_is_written_once_and_again_for_other_pictures(pictures: list[Path], tmp_path: Path) -> None:
    """The second call maps what the first wrote; a picture that was replaced is decoded anew."""
    cached(pictures, PREPROCESSING, tmp_path / "cache")
    written = (tmp_path / "cache" / "pixels.npy").stat().st_mtime_ns
    cached(pictures, PREPROCESSING, tmp_path / "cache")
    assert (tmp_path / "cache" / "pixels.npy").stat().st_mtime_ns == written

    Image.new("RGB", (20, 10), (60, 60, 60)).save(pictures[1])

    assert cached(pictures, PREPROCESSING, tmp_path / "cache")[:, 0, 0, 0].tolist() == [0, 60, 240]


def test_a_picture_that_is_gone_is_named(pictures: list[Path], tmp_path: Path) -> None:
    """The map alone does not tell whether it is still that of the dataset."""
    cached(pictures, PREPROCESSING, tmp_path / "cache")
    pictures[2].unlink()

    with pytest.raises(PictureError, match=r"240\.png: No such file"):
        cached(pictures, PREPROCESSING, tmp_path / "cache")


def test_a_picture_that_breaks_is_named_and_leaves_no_map(pictures: list[Path], tmp_path: Path) -> None:
    """The next call with a sound picture decodes them all."""
    pictures[1].write_bytes(b"no picture")
    with pytest.raises(PictureError, match=r"120\.png"):
        cached(pictures, PREPROCESSING, tmp_path / "cache")

    Image.new("RGB", (20, 10), (60, 60, 60)).save(pictures[1])

    assert cached(pictures, PREPROCESSING, tmp_path / "cache")[:, 0, 0, 0].tolist() == [0, 60, 240]
