import json
from pathlib import Path

import numpy as np
from PIL import Image

from world.gallery import write_gallery
from world.kinds import LABELS


def test_gallery_describes_its_images(tmp_path: Path) -> None:
    """Each image has one line with metadata and the labels and boxes of its objects."""
    write_gallery(tmp_path, count=3, seed=7)

    lines = [json.loads(line) for line in (tmp_path / "gallery.jsonl").read_text().splitlines()]
    assert sorted(line["file"] for line in lines) == sorted(path.name for path in tmp_path.glob("*.jpg"))
    for line in lines:
        with Image.open(tmp_path / line["file"]) as image:
            assert image.size == (800, 600)
        assert {item["label"] for item in line["objects"]} <= set(LABELS)
        assert line["metadata"]["object_count"] == len(line["objects"]) > 0
        assert line["sentence"].endswith(".")
        with Image.open(tmp_path / line["sketch"]) as sketch:
            assert sketch.size == (800, 600)


def test_gallery_grows_without_change(tmp_path: Path) -> None:
    """A larger gallery of the same seed begins with the smaller one, byte for byte."""
    write_gallery(tmp_path / "small", count=1, seed=7)
    write_gallery(tmp_path / "large", count=2, seed=7)
    (only,) = (tmp_path / "small").glob("*.jpg")
    assert only.read_bytes() == (tmp_path / "large" / only.name).read_bytes()


def test_the_gallery_of_the_demo_is_drawn_by_this_code(tmp_path: Path) -> None:
    """`fovea demo` ships what `python -m world.gallery` draws; only the encoder of JPEG may differ."""
    shipped = Path(__file__).parents[2] / "cli" / "gallery"
    write_gallery(tmp_path, count=2, seed=7)

    lines, drawn = ((folder / "gallery.jsonl").read_text().splitlines() for folder in (shipped, tmp_path))
    assert lines[:2] == drawn
    for image in sorted(tmp_path.glob("*.jpg")):
        with Image.open(image) as mine, Image.open(shipped / image.name) as theirs:
            assert np.abs(np.asarray(mine, int) - np.asarray(theirs, int)).mean() < 2
    assert len(lines) == len(list(shipped.glob("*.jpg"))) == len(list((shipped / "sketches").glob("*.png")))
