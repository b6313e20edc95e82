from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from encoders.bundle import Preprocessing
from training.decoded import ImageError, cached, decoded

PREPROCESSING = Preprocessing(size=(8, 6))


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{shade}.png" for shade in (0, 120, 240)]
    for path in paths:
        Image.new("RGB", (20, 10), (int(path.stem),) * 3).save(path)
    return paths


def test_images_keep_their_order(images: list[Path], tmp_path: Path) -> None:
    """Several threads decode; row i is image i, at once as from the map."""
    for pixels in (decoded(images, PREPROCESSING), cached(images, PREPROCESSING, tmp_path / "cache")):
        assert pixels.shape == (3, 6, 8, 3)
        assert pixels.dtype == np.uint8
        assert pixels[:, 0, 0, 0].tolist() == [0, 120, 240]


def test_a_map_is_written_once_and_again_for_other_images(images: list[Path], tmp_path: Path) -> None:
    """The second call maps what the first wrote; an image that was replaced is decoded anew."""
    cached(images, PREPROCESSING, tmp_path / "cache")
    written = (tmp_path / "cache" / "pixels.npy").stat().st_mtime_ns
    cached(images, PREPROCESSING, tmp_path / "cache")
    assert (tmp_path / "cache" / "pixels.npy").stat().st_mtime_ns == written

    Image.new("RGB", (20, 10), (60, 60, 60)).save(images[1])

    assert cached(images, PREPROCESSING, tmp_path / "cache")[:, 0, 0, 0].tolist() == [0, 60, 240]


def test_an_image_that_is_gone_is_named(images: list[Path], tmp_path: Path) -> None:
    """The map alone does not tell whether it is still that of the dataset."""
    cached(images, PREPROCESSING, tmp_path / "cache")
    images[2].unlink()

    with pytest.raises(ImageError, match=r"240\.png: No such file"):
        cached(images, PREPROCESSING, tmp_path / "cache")


def test_an_image_that_breaks_is_named_and_leaves_no_map(images: list[Path], tmp_path: Path) -> None:
    """The next call with a sound image decodes them all."""
    images[1].write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"120\.png"):
        cached(images, PREPROCESSING, tmp_path / "cache")

    Image.new("RGB", (20, 10), (60, 60, 60)).save(images[1])

    assert cached(images, PREPROCESSING, tmp_path / "cache")[:, 0, 0, 0].tolist() == [0, 60, 240]
