from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.datasets.coco_karpathy import load_coco_karpathy
from world.coco_karpathy import CATEGORY_IDS, write_coco_karpathy
from world.kinds import LABELS

SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("coco")
    write_coco_karpathy(folder, {"train": 3, "val": 1, "test": 2})
    return folder


def test_the_loader_finds_no_fault(drawn: Path) -> None:
    """Every photo of every split has a sketch of its size, five sentences and the categories of what it shows."""
    coco = load_coco_karpathy(drawn, sketch_splits=SPLITS, decode=True)

    assert coco.report.is_complete
    assert [len(coco.of(split)) for split in SPLITS] == [3, 1, 2]
    for photo in coco.photos:
        assert len(photo.captions) == 5
        assert set(photo.category_ids) <= set(CATEGORY_IDS.values())
        assert photo.category_ids
        assert photo.sketch is not None
        with Image.open(photo.path) as image, Image.open(photo.sketch) as sketch:
            assert image.size == sketch.size


def test_a_scene_is_the_same_in_any_set(drawn: Path, tmp_path: Path) -> None:
    """Test scene n does not depend on how many scenes the other splits have, to the last byte of photo and sketch."""
    write_coco_karpathy(tmp_path, {"test": 1})
    (alone,) = load_coco_karpathy(tmp_path).of("test")
    among = load_coco_karpathy(drawn).of("test")[0]

    assert alone.captions == among.captions
    assert alone.path.read_bytes() == among.path.read_bytes()
    assert alone.sketch is not None
    assert among.sketch is not None
    assert alone.sketch.read_bytes() == among.sketch.read_bytes()


def test_splits_share_no_scene(drawn: Path) -> None:
    """Equal numbers of two splits are different scenes."""
    coco = load_coco_karpathy(drawn)
    first = [np.asarray(Image.open(coco.of(split)[0].path)) for split in SPLITS]
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], first[2])


def test_every_kind_has_a_category_of_its_own() -> None:
    """No two kinds share one of COCO's ids."""
    assert set(CATEGORY_IDS) == set(LABELS)
    assert len(set(CATEGORY_IDS.values())) == len(LABELS)
