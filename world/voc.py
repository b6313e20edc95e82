"""Writes scenes in the layout of PASCAL VOC: `JPEGImages/`, `Annotations/*.xml` and the lists of `ImageSets/Main/`."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

from world.scene import Scene, SceneObject

JPEG_QUALITY = 92


def write_voc(root: Path, split: str, scenes: Iterable[tuple[str, Scene]], labels: Sequence[str]) -> None:
    """Write named scenes as one split into the year's folder `root`, beside those that are there.

    The lists come last, `<split>.txt` at the very end: a split that has it is whole.
    """
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    kinds: dict[str, set[str]] = {}
    for name, scene in scenes:
        scene.image.save(root / f"JPEGImages/{name}.jpg", quality=JPEG_QUALITY)
        tree = ElementTree(_annotation(root.name, name, scene))
        indent(tree, "\t")
        tree.write(root / f"Annotations/{name}.xml", encoding="utf-8")
        kinds[name] = {item.label for item in scene.objects}
    lists = root / "ImageSets/Main"
    for label in labels:
        # A 0 would stand for an image whose only objects of this class are difficult; no drawn object is.
        lines = [f"{name} {1 if label in found else -1:2}\n" for name, found in kinds.items()]
        (lists / f"{label}_{split}.txt").write_text("".join(lines))
    (lists / f"{split}.txt").write_text("".join(f"{name}\n" for name in kinds))


def _annotation(folder: str, name: str, scene: Scene) -> Element:
    annotation = Element("annotation")
    _add(annotation, folder=folder, filename=f"{name}.jpg")
    _add(SubElement(annotation, "source"), database="Fovea's drawn world", annotation="drawn", image="drawn")
    _add(SubElement(annotation, "size"), width=scene.image.width, height=scene.image.height, depth=3)
    _add(annotation, segmented=0)
    for item in scene.objects:
        _add_object(annotation, item, scene.image.size)
    return annotation


def _add_object(annotation: Element, item: SceneObject, size: tuple[int, int]) -> None:
    element = SubElement(annotation, "object")
    is_cut = any(edge in {0.0, 1.0} for edge in item.box)
    _add(element, name=item.label, pose="Unspecified", truncated=int(is_cut), difficult=0)
    left, top, right, bottom = item.box_px(size)
    # VOC counts pixels from 1 and includes the last one.
    _add(SubElement(element, "bndbox"), xmin=left + 1, ymin=top + 1, xmax=right, ymax=bottom)
    # What VOC has no tag for, in the words of annotation tools such as CVAT.
    _add(SubElement(SubElement(element, "attributes"), "attribute"), name="colour", value=item.colour)


def _add(parent: Element, **values: str | int) -> None:
    for tag, value in values.items():
        SubElement(parent, tag).text = str(value)
