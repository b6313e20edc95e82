from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from training.datasets.report import DatasetError, FaultKind
from training.datasets.voc import LABELS, load_voc

WriteImage = Callable[..., Path]


def bndbox(x_min: object, y_min: object, x_max: object, y_max: object) -> str:
    """Its tags in one of the orders that occur."""
    edges = {"xmax": x_max, "xmin": x_min, "ymax": y_max, "ymin": y_min}
    return "<bndbox>" + "".join(f"<{edge}>{value}</{edge}>" for edge, value in edges.items()) + "</bndbox>"


def thing(label: str, box: str, more: str = "") -> str:
    return f"<object><name>{label}</name><pose>Left</pose>{more}{box}</object>"


DOG = thing("dog", bndbox(48, 240, 195, 371), "<difficult>0</difficult>")


@pytest.fixture
def write(tmp_path: Path, write_image: WriteImage) -> Callable[..., None]:
    """Writes one image with its annotation, and the folders of the layout."""
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (tmp_path / folder).mkdir(parents=True)

    def write(name: str, *objects: str, file: str | None = None, size: tuple[int, int] = (353, 500)) -> None:
        write_image(f"JPEGImages/{file or name + '.jpg'}")
        width, height = size
        head = (
            f"<filename>{file or name + '.jpg'}</filename><size><width>{width}</width><height>{height}</height></size>"
        )
        text = f"<annotation><folder>VOC2012</folder>{head}{''.join(objects)}</annotation>"
        (tmp_path / f"Annotations/{name}.xml").write_text(text, encoding="utf-8")

    return write


def write_split(root: Path, *lines: str, split: str = "trainval") -> None:
    (root / f"ImageSets/Main/{split}.txt").write_text("".join(f"{line}\n" for line in lines))


def test_boxes_are_normalized(tmp_path: Path, write: Callable[..., None]) -> None:
    """Pixels count from 1 and the last belongs to the box; numbers may be floats, tags stand in any order."""
    write("2008_000001", DOG, thing("cat", bndbox("1.0", 1, "353.00", 500), "<difficult>1</difficult>"))
    write_split(tmp_path, "2008_000001")

    voc = load_voc(tmp_path, expected={"images": 1, "objects": 2})

    (image,) = voc.images
    assert image.path == (tmp_path / "JPEGImages/2008_000001.jpg").resolve()
    assert image.objects[0].box == pytest.approx((47 / 353, 239 / 500, 195 / 353, 371 / 500))
    assert image.objects[1].box == (0, 0, 1, 1)
    assert [item.is_difficult for item in image.objects] == [False, True]
    (truth,) = voc.truths()
    assert truth.dtype == np.float32
    assert truth[:, 0].tolist() == [LABELS.index("dog")]
    assert len(voc.truths(with_difficult=True)[0]) == 2


def test_parts_are_no_objects(tmp_path: Path, write: Callable[..., None]) -> None:
    """A person's head, with a name and a box, stands inside the object and before the object's own box."""
    head = f"<part><name>head</name>{bndbox(10, 10, 20, 20)}</part>"
    write("person", thing("person", bndbox(1, 1, 100, 200), head))
    write_split(tmp_path, "person")

    (image,) = load_voc(tmp_path).images

    assert [item.label for item in image.objects] == ["person"]
    assert image.objects[0].box[2:] == pytest.approx((100 / 353, 200 / 500))


def test_own_labels_lists_and_file_names(tmp_path: Path, write: Callable[..., None]) -> None:
    """Without a split all annotations are read, without labels those that occur; a class's list leaves out its -1."""
    write("b", thing("teapot", bndbox(1, 1, 9, 9)), file="other name.png")
    write("a", thing("kettle", bndbox(1, 1, 9, 9)))
    write_split(tmp_path, "a  1", "b -1", split="kettle_train")

    voc = load_voc(tmp_path, None, labels=None)

    assert voc.labels == ("kettle", "teapot")
    assert [image.path.name for image in voc.images] == ["a.jpg", "other name.png"]
    assert [image.name for image in load_voc(tmp_path, "kettle_train", labels=["kettle"]).images] == ["a"]


def test_every_planted_fault_is_reported(tmp_path: Path, write: Callable[..., None]) -> None:
    """A broken object goes alone, a box that reaches outside is cut, a broken file takes its image with it."""
    write("good", DOG, thing("dog", bndbox(340, 1, 400, 9)), thing("dragon", bndbox(1, 1, 9, 9)))
    write("boxes", thing("dog", bndbox(9, 1, 3, 9)), thing("dog", bndbox(400, 1, 410, 9)), thing("dog", "", ""))
    write("nan", DOG, thing("cat", bndbox("nan", 1, 9, 9)))
    write("size", size=(0, 0))
    write("noimage", DOG)
    (tmp_path / "JPEGImages/noimage.jpg").unlink()
    write("broken")
    (tmp_path / "Annotations/broken.xml").write_text("<annotation><object>")
    write("away", file="../away.jpg")
    write_split(tmp_path, "good", "good", "boxes", "nan", "size", "noimage", "broken", "noxml", "away", "../../x")

    with pytest.raises(
        DatasetError, match=r"line 7: broken file: Annotations/broken.xml is not readable XML: .* line 1"
    ):
        load_voc(tmp_path)
    voc = load_voc(tmp_path, allow_incomplete=True)

    assert [(image.name, len(image.objects)) for image in voc.images] == [("good", 2), ("boxes", 0), ("nan", 1)]
    assert voc.images[0].objects[1].box[2] == 1
    assert voc.report.how_many() == {
        FaultKind.DUPLICATE: 1,
        FaultKind.BOX_OUTSIDE: 2,
        FaultKind.BAD_RECORD: 5,
        FaultKind.MISSING_FILE: 2,
        FaultKind.BROKEN_FILE: 1,
        FaultKind.OUTSIDE_ROOT: 2,
    }


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_document_type_is_refused(tmp_path: Path, write: Callable[..., None], encoding: str) -> None:
    """Entities grow to gigabytes; whatever the encoding, they are never expanded."""
    write("bomb")
    text = (
        f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE lolz [<!ENTITY a "aaaa">]><annotation>&a;</annotation>'
    )
    (tmp_path / "Annotations/bomb.xml").write_text(text, encoding=encoding)

    with pytest.raises(DatasetError, match="declares a document type, lolz"):
        load_voc(tmp_path, None)
