"""Owns the reading of a run's dataset: the layout and the splits that its config names."""

from pathlib import Path

from training.datasets.annotated import AnnotatedPictures
from training.datasets.coco_detection import load_coco_detection
from training.datasets.voc import load_voc
from training.objects.config import DataConfig


def load_split(
    config: DataConfig, folder: Path, split: str, *, decode: bool = False, allow_incomplete: bool = False
) -> AnnotatedPictures:
    """Read a split of the dataset in `folder`: VOC's folder of the year, or the one with COCO's `annotations/`.

    With `decode`, or to leave out what is broken, every picture is decoded once. Raises DatasetError for any fault unless `allow_incomplete`, and ValueError where COCO's categories are others.
    """
    decode = decode or allow_incomplete
    if config.layout == "voc":
        return load_voc(folder, split, labels=config.labels, decode=decode, allow_incomplete=allow_incomplete)
    file = folder / "annotations" / f"instances_{split}.json"
    pictures = load_coco_detection(file, folder / split, decode=decode, allow_incomplete=allow_incomplete)
    if pictures.labels != config.labels:
        raise ValueError(f"{file} has the categories {list(pictures.labels)}: write them into [data] labels.")
    return pictures
