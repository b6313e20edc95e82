"""Owns which network a run trains, the compact one or one of Darknet's, and what its raw answers come to."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from domain.detection import Detection
from encoders.bundle import Preprocessing
from encoders.importers.darknet.cfg import parse_cfg
from encoders.importers.darknet.sections import Section, parse_sections
from encoders.serving.detection import postprocess
from encoders.serving.session import RawDetections
from training.average_precision import MOST_DETECTIONS
from training.datasets.annotated import AnnotatedImage
from training.models.yolo import YoloNetwork
from training.objects.config import ObjectsConfig
from training.objects.network import DetectorNetwork

# Precision is measured down to scores that users never see.
LEAST_SCORE = 0.01
# From this score on, a detection is shown to users.
SHOWN_SCORE = 0.5

Raw = NDArray[np.float32]

Detector = DetectorNetwork | YoloNetwork

# The network of a run that trains one of Darknet's, as Darknet itself would read it.
CFG = "network.cfg"


def build_detector(config: ObjectsConfig, run: Path) -> Detector:
    """The network with fresh weights; one of Darknet's is kept as `run`/network.cfg, and read from there ever after."""
    network, data = config.network, config.data
    if not network.cfg:
        return DetectorNetwork(
            size_px=data.size_px,
            widths=network.widths,
            neck=network.neck,
            anchors=network.anchors,
            class_count=len(data.labels),
        )
    if not (run / CFG).exists():
        run.mkdir(parents=True, exist_ok=True)
        text = Path(network.cfg).read_text(encoding="utf-8")
        (run / CFG).write_text(fitted_cfg(text, class_count=len(data.labels), size_px=data.size_px), encoding="utf-8")
    return YoloNetwork(parse_cfg((run / CFG).read_text(encoding="utf-8")))


def detections_of(
    boxes: Raw,
    scores: Raw,
    images: Sequence[AnnotatedImage],
    labels: Sequence[str],
    preprocessing: Preprocessing,
) -> list[list[Detection]]:
    """The objects found in each of N images, from boxes (N, K, 4) and scores (N, K, C)."""
    return [
        postprocess(
            RawDetections(own_boxes, own_scores),
            labels=labels,
            image_px=(image.width_px, image.height_px),
            preprocessing=preprocessing,
            min_score=LEAST_SCORE,
            limit=MOST_DETECTIONS,
        )
        for own_boxes, own_scores, image in zip(boxes, scores, images, strict=True)
    ]


def fitted_cfg(text: str, *, class_count: int, size_px: int) -> str:
    """The same network for so many classes and a square input; BundleError where a head cannot be changed.

    Each `[yolo]` gets its classes, and the convolution before it a filter for every number that the head then reads.
    """
    lines, sections = text.splitlines(), parse_sections(text)
    for section, before in zip(sections, [None, *sections], strict=False):
        if section.kind in {"net", "network"}:
            _set(lines, section, "width", size_px)
            _set(lines, section, "height", size_px)
        elif section.kind == "yolo":
            if before is None or before.kind not in {"convolutional", "conv"}:
                raise section.wrong("no convolution stands before this head")
            anchors = len(section.integers("mask")) if "mask" in section else len(section.integers("anchors")) // 2
            _set(lines, section, "classes", class_count)
            _set(lines, before, "filters", anchors * (5 + class_count))
    return "\n".join(lines) + "\n"


def _set(lines: list[str], section: Section, key: str, value: int) -> None:
    if key not in section:
        raise section.wrong(f"{key} is missing")
    line, _ = section.options[key]
    lines[line - 1] = f"{key}={value}"
