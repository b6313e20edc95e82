from collections.abc import Callable
from pathlib import Path

import pytest

from training.datasets.fs_coco import load_fs_coco
from training.datasets.report import DatasetError, FaultKind
from training.datasets.sketchy import PHOTOS, SKETCHES, load_sketchy
from training.datasets.sketchy_coco import load_sketchy_coco

WriteImage = Callable[..., Path]


def write_scene(root: Path, write_image: WriteImage, name: str, caption: str = "A dog.\nseen twice\n") -> None:
    write_image(f"images/{name}.jpg")
    write_image(f"raster_sketches/{name}.jpg")
    (root / "text" / name).parent.mkdir(parents=True, exist_ok=True)
    (root / "text" / f"{name}.txt").write_text(caption, encoding="utf-8")


def test_fs_coco_pairs_by_author_and_id(tmp_path: Path, write_image: WriteImage) -> None:
    """All scenes or those of a list, whose lines are `<author>/<id>` or an id alone; the caption is the first line."""
    for name in ("1/000000000042", "2/000000000007"):
        write_scene(tmp_path, write_image, name)
    (tmp_path / "val.txt").write_text("2/000000000007\n\n000000000042\n")

    everything, val = load_fs_coco(tmp_path), load_fs_coco(tmp_path, split_list="val.txt")

    assert [pair.name for pair in everything.pairs] == ["1/000000000042", "2/000000000007"]
    assert [pair.name for pair in val.pairs] == ["2/000000000007", "1/000000000042"]
    assert val.pairs[0].captions == ("A dog.",)
    assert val.targets().tolist() == [0, 1]


def test_fs_coco_tells_what_is_missing(tmp_path: Path, write_image: WriteImage) -> None:
    """Scenes without photo or caption, listed twice, unknown, or leading out of the folder."""
    for name in ("1/1", "1/2", "1/3", "2/3"):
        write_scene(tmp_path, write_image, name, caption=" \n" if name == "1/2" else "Ein Hund.")
    (tmp_path / "images/1/3.jpg").unlink()
    (tmp_path / "val.txt").write_text("1/1\n1/1\n1/2\n1/3\n9/9\n../1/1\n3\n8\n")

    with pytest.raises(DatasetError, match=r"val.txt, line 4: missing file: images/1/3.jpg is not there"):
        load_fs_coco(tmp_path, split_list="val.txt")
    rest = load_fs_coco(tmp_path, split_list="val.txt", allow_incomplete=True)

    assert [pair.name for pair in rest.pairs] == ["1/1"]
    assert rest.report.how_many() == {
        FaultKind.DUPLICATE: 2,
        FaultKind.BAD_RECORD: 1,
        FaultKind.MISSING_FILE: 3,
        FaultKind.OUTSIDE_ROOT: 1,
    }


def test_sketchy_coco_pairs_scenes_by_name(tmp_path: Path, write_image: WriteImage) -> None:
    """Of the splits asked for; a photo or a sketch alone is reported."""
    for split, names in {"trainInTrain": "ab", "val": "c"}.items():
        for name in names:
            write_image(f"Scene/GT/{split}/{name}.png")
            write_image(f"Scene/Sketch/paper_version/{split}/{name}.png")

    assert [pair.name for pair in load_sketchy_coco(tmp_path, "val").pairs] == ["val/c"]
    assert load_sketchy_coco(tmp_path, expected={"pairs": 3}).report.is_complete

    write_image("Scene/GT/val/photo.png")
    write_image("Scene/Sketch/paper_version/val/sketch.png")
    with pytest.raises(DatasetError, match=r"Scene/GT/val/photo.png: without a partner: no sketch of this name"):
        load_sketchy_coco(tmp_path, "val")
    assert load_sketchy_coco(tmp_path, "val", allow_incomplete=True).report.how_many() == {FaultKind.UNPAIRED: 2}


def test_sketchy_pairs_by_the_name_before_the_dash(tmp_path: Path, write_image: WriteImage) -> None:
    """Several sketches share a photo, whose own name may have dashes; photos that nobody drew stay in the gallery."""
    for name in ("cat/n0_1", "cat/n-0_2", "cat/n0_3", "owl/n0_4"):
        write_image(f"{PHOTOS}/{name}.jpg")
    for name in ("cat/n0_1-1", "cat/n0_1-2", "cat/n-0_2-1", "owl/n0_4-1"):
        write_image(f"{SKETCHES}/{name}.png")

    cats = load_sketchy(tmp_path, categories={"cat"})

    assert [pair.name for pair in cats.pairs] == ["cat/n-0_2", "cat/n0_1", "cat/n0_1"]
    assert [path.name for path in cats.gallery] == ["n-0_2.jpg", "n0_1.jpg", "n0_3.jpg"]
    assert cats.targets().tolist() == [0, 1, 1]
    assert len(load_sketchy(tmp_path, expected={"pairs": 4, "photos": 4}).pairs) == 4


def test_sketchy_tells_sketches_without_photo(tmp_path: Path, write_image: WriteImage) -> None:
    """A name without a dash, or of a photo that is not there, and a category that is empty."""
    write_image(f"{PHOTOS}/cat/n0_1.jpg")
    for name in ("cat/n0_1-1", "cat/n0_2-1", "cat/n0"):
        write_image(f"{SKETCHES}/{name}.png")

    rest = load_sketchy(tmp_path, categories=["cat", "dog"], allow_incomplete=True)

    assert [pair.sketch.name for pair in rest.pairs] == ["n0_1-1.png"]
    assert rest.report.how_many() == {FaultKind.UNPAIRED: 2, FaultKind.MISSING_FILE: 1}
