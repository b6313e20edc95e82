from pathlib import Path

import pytest

from domain.box import Box
from domain.detection import Detection
from training.average_precision import average_precision
from training.datasets.annotated import AnnotatedImage, TrueObject

LABELS = ("ball", "boat", "car")
RIGHT: Box = (0.0, 0.0, 0.5, 0.48)
WRONG: Box = (0.6, 0.0, 0.9, 0.4)


def image(*objects: TrueObject) -> AnnotatedImage:
    return AnnotatedImage(Path("any.jpg"), "any", 480, 360, objects)


IMAGES = (image(TrueObject("ball", (0.0, 0.0, 0.5, 0.5)), TrueObject("boat", (0.5, 0.5, 1.0, 1.0))), image())


def test_what_is_found_counts_once() -> None:
    """A box found twice counts once, a weaker double costs nothing; a class that never occurs does not count."""
    found = [
        [
            Detection(RIGHT, LABELS[0], 0.9, 0),
            Detection(RIGHT, LABELS[0], 0.8, 0),
            Detection((0.5, 0.5, 1.0, 1.0), LABELS[1], 0.7, 1),
        ],
        [],
    ]
    precision = average_precision(found, IMAGES, LABELS)
    assert precision.at_half == pytest.approx(1.0)
    # A box of IoU .96 is right up to .95.
    assert precision.mean == pytest.approx(1.0)


def test_wrong_and_missing_ones_cost() -> None:
    """A wrong box above the right one halves the class; a class not found counts 0."""
    found = [[Detection(RIGHT, LABELS[0], 0.5, 0)], [Detection(WRONG, LABELS[0], 0.9, 0)]]
    assert average_precision(found, IMAGES, LABELS).at_half == pytest.approx(0.25)


def test_nothing_found_is_nought() -> None:
    """A detector that says nothing is measured, too."""
    assert average_precision([[], []], IMAGES, LABELS).at_half == 0


def test_difficult_objects_do_not_count() -> None:
    """Neither missed when they are not found nor wrong when they are."""
    hard = image(TrueObject("ball", RIGHT), TrueObject("ball", WRONG, is_difficult=True))
    easy = [Detection(RIGHT, LABELS[0], 0.5, 0)]
    assert average_precision([easy], [hard], LABELS).at_half == pytest.approx(1.0)
    assert average_precision([[*easy, Detection(WRONG, LABELS[0], 0.9, 0)]], [hard], LABELS).at_half == pytest.approx(
        1.0
    )
