from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from encoders.bundle import Preprocessing, Resize
from training.datasets.annotated import AnnotatedImage, AnnotatedImages, TrueObject
from training.datasets.report import DatasetReport
from training.objects.images import cache_images


def wide_image(folder: Path, colour: tuple[int, int, int] = (250, 10, 10)) -> AnnotatedImages:
    """A black image with one coloured box, and a difficult object that nobody needs to find."""
    image = Image.new("RGB", (120, 60))
    image.paste(colour, (30, 15, 60, 45))
    image.save(folder / "wide.png")
    box = TrueObject("box", (30 / 120, 15 / 60, 60 / 120, 45 / 60))
    hidden = TrueObject("box", (0.8, 0.8, 0.9, 0.9), is_difficult=True)
    row = AnnotatedImage(folder / "wide.png", "wide", 120, 60, (box, hidden))
    return AnnotatedImages((row,), ("other", "box"), DatasetReport(folder, {}, ()))


@pytest.mark.parametrize("resize", ["squash", "letterbox"])
def test_boxes_lie_where_the_pixels_do(tmp_path: Path, resize: Resize) -> None:
    """However the image is brought to the input, the box goes along; what is difficult is left out."""
    cached = cache_images(wide_image(tmp_path), tmp_path / "cache", Preprocessing(size=(64, 64), resize=resize))

    ((label, *box),) = cached.truths[0].tolist()
    assert label == 1
    x_min, y_min, x_max, y_max = (round(edge * 64) for edge in box)
    is_painted = cached.pixels[0, :, :, 0] > 180
    assert is_painted[y_min:y_max, x_min:x_max].mean() > 0.95
    assert is_painted.sum() <= (y_max - y_min) * (x_max - x_min)


def test_a_cache_is_made_once_and_again_for_other_images(tmp_path: Path) -> None:
    """A second run maps what the first decoded; an image that was replaced is decoded anew."""
    preprocessing, cache = Preprocessing(size=(32, 32)), tmp_path / "cache"
    images = wide_image(tmp_path)
    first = cache_images(images, cache, preprocessing)
    written = (cache / "pixels.npy").stat().st_mtime_ns
    cache_images(images, cache, preprocessing)
    assert (cache / "pixels.npy").stat().st_mtime_ns == written

    before = first.pixels.copy()
    replaced = cache_images(wide_image(tmp_path, (10, 250, 10)), cache, preprocessing)
    assert np.any(replaced.pixels != before)
