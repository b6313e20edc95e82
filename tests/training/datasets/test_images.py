import json
from collections.abc import Callable
from pathlib import Path

import pytest

from training.datasets.pedestrians import load_pedestrians
from training.datasets.report import DatasetError, FaultKind
from training.decoded import ImageError, open_image

WriteImage = Callable[..., Path]


def test_an_image_that_breaks_an_epoch_is_named(tmp_path: Path, write_image: WriteImage) -> None:
    """And the message says how to go on without it."""
    path = write_image("good.jpg")
    broken = tmp_path / "bröken.jpg"
    broken.write_bytes(path.read_bytes()[:100])

    assert open_image(path).size == (8, 6)
    for name in (broken, tmp_path / "gone.jpg"):
        with pytest.raises(ImageError, match=rf"{name.name}: .*decode=True"):
            open_image(name)


def test_decoding_beforehand_finds_it(tmp_path: Path, write_image: WriteImage) -> None:
    """Looking for files alone does not."""
    for name in ("good.jpg", "broken.jpg"):
        write_image(f"imgs/{name}")
    broken = tmp_path / "imgs/broken.jpg"
    broken.write_bytes(broken.read_bytes()[:100])
    rows = [{"file_path": name, "id": 1, "captions": ["A man."]} for name in ("good.jpg", "broken.jpg")]
    (tmp_path / "caption_all.json").write_text(json.dumps(rows))

    assert len(load_pedestrians(tmp_path).images) == 2
    with pytest.raises(DatasetError, match=r"record 1: broken file: imgs/broken.jpg"):
        load_pedestrians(tmp_path, decode=True)
    people = load_pedestrians(tmp_path, decode=True, allow_incomplete=True)
    assert [person.name for person in people.images] == ["good.jpg"]
    assert people.report.how_many() == {FaultKind.BROKEN_FILE: 1}
