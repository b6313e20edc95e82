"""Owns PASCAL VOC: `JPEGImages/`, `Annotations/*.xml` and the lists of `ImageSets/Main/`."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Never, Unpack
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from training.datasets.annotated import AnnotatedImage, AnnotatedImages, Frame, TrueObject, counts_of, labels_of
from training.datasets.report import Checks, FaultKind, Faults, RecordError
from training.datasets.root import DatasetRoot, number_in, open_dataset

LABELS = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)
MAX_XML_BYTES = 4 * 2**20


def load_voc(
    root: Path, split: str | None = "trainval", *, labels: Sequence[str] | None = LABELS, **checks: Unpack[Checks]
) -> AnnotatedImages:
    """Read the images of `ImageSets/Main/<split>.txt`, or every annotation where `split` is None.

    `root` is the year's folder, `VOC2012`. With `labels` None the labels that occur are used. A box that reaches outside
    its image is cut.
    """
    base, faults = open_dataset(root, checks)
    reader = _Reader(base.child("Annotations"), base.child("JPEGImages"), labels, faults)
    found = tuple(faults.collect(_listed(base, split, faults), reader.image).values())
    report = faults.finish(base.folder, counts_of(found))
    return AnnotatedImages(found, tuple(labels) if labels is not None else labels_of(found), report)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads one image's annotation after the other."""

    annotations: DatasetRoot
    images: DatasetRoot
    labels: Collection[str] | None
    faults: Faults

    def image(self, name: str) -> AnnotatedImage:
        """Read one annotation; an object with a fault is left out alone. Raises RecordError for the whole image."""
        file = f"Annotations/{name}.xml"
        tree = _parse(self.annotations.file(f"{name}.xml"), file)
        path = self._image(name, tree)
        frame = Frame(_side(tree, "size/width"), _side(tree, "size/height"), file, self.faults)
        # Direct children only: a person's `part`s have names and boxes too, but are not objects.
        objects = []
        for number, element in enumerate(tree.findall("object")):
            record = f"object {number}"
            with self.faults.at(file, record):
                objects.append(self._object(element, frame, record))
        return AnnotatedImage(path, name, frame.width_px, frame.height_px, tuple(objects))

    def _image(self, name: str, tree: Element) -> Path:
        """The image of the annotation's own name; else the file that the annotation names."""
        try:
            return self.images.image(f"{name}.jpg")
        except RecordError as error:
            if error.kind is not FaultKind.MISSING_FILE or not tree.findtext("filename", "").strip():
                raise
        return self.images.image(tree.findtext("filename", "").strip())

    def _object(self, element: Element, frame: Frame, record: str) -> TrueObject:
        label = element.findtext("name", "").strip()
        if not label or (self.labels is not None and label not in self.labels):
            raise RecordError(FaultKind.BAD_RECORD, f"{label!r} is not one of the labels")
        corners = element.find("bndbox")
        if corners is None:
            raise RecordError(FaultKind.BAD_RECORD, f"{label} has no bndbox")
        x_min, y_min, x_max, y_max = (
            number_in(corners.findtext(edge), edge) for edge in ("xmin", "ymin", "xmax", "ymax")
        )
        # VOC counts pixels from 1 and includes the last one.
        box = frame.box((x_min - 1, y_min - 1, x_max, y_max), record)
        return TrueObject(
            label,
            box,
            is_difficult=element.findtext("difficult", "0").strip() == "1",
            attributes={
                attribute.findtext("name", "").strip(): attribute.findtext("value", "").strip()
                for attribute in element.findall("attributes/attribute")
            },
        )


class _PlainTree(TreeBuilder):
    """Builds elements; a document type could define entities that never end."""

    def doctype(self, name: str, _pubid: str | None, _system: str | None) -> Never:
        raise RecordError(FaultKind.BROKEN_FILE, f"the annotation declares a document type, {name}, and is not read")


def _parse(path: Path, file: str) -> Element:
    if path.stat().st_size > MAX_XML_BYTES:
        raise RecordError(FaultKind.BROKEN_FILE, f"{file} has more than {MAX_XML_BYTES:,} bytes")
    parser = XMLParser(target=_PlainTree())  # noqa: S314  document types, hence entities, are refused above
    try:
        parser.feed(path.read_bytes())
        tree = parser.close()
    except (ParseError, ValueError, LookupError, OSError) as error:
        raise RecordError(FaultKind.BROKEN_FILE, f"{file} is not readable XML: {error}") from error
    if tree.tag != "annotation":
        raise RecordError(FaultKind.BROKEN_FILE, f"{file} holds <{tree.tag}>, not <annotation>")
    return tree


def _side(tree: Element, path: str) -> int:
    side = number_in(tree.findtext(path), path)
    if side < 1:
        raise RecordError(FaultKind.BAD_RECORD, f"{path} is {side:g}, not the size of an image")
    return int(side)


def _listed(base: DatasetRoot, split: str | None, faults: Faults) -> Iterator[tuple[str, str, str]]:
    """Where each image is named, file and record, and its name."""
    if split is None:
        for path in sorted((base.folder / "Annotations").glob("*.xml")):
            yield f"Annotations/{path.name}", "", path.stem
        return
    file = f"ImageSets/Main/{split}.txt"
    for record, line in base.lines(file, faults):
        fields = line.split()
        # A class's own list says -1, 0 or 1 behind the name: whether it has one.
        if fields[1:] != ["-1"]:
            yield file, record, fields[0]
