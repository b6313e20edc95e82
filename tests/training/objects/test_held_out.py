from pathlib import Path

import numpy as np
import pytest

from domain.detection import Detection
from training.datasets.annotated import AnnotatedImage, TrueObject
from training.objects.held_out import HeldOut, ObjectQuery

BOX = (0.1, 0.1, 0.4, 0.4)


def thing(label: str, colour: str) -> TrueObject:
    return TrueObject(label, BOX, attributes={"colour": colour})


def photo(name: str, *objects: TrueObject) -> AnnotatedImage:
    return AnnotatedImage(Path(f"{name}.jpg"), name, 40, 30, objects)


GALLERY = (photo("a", thing("car", "red")), photo("b", thing("boat", "red"), thing("car", "blue")), photo("c"))
ASKING = (photo("q", thing("car", "blue")), photo("r", thing("boat", "green")))
HELD_OUT = HeldOut(("boat", "car"), GALLERY, ASKING, tuple(ObjectQuery(image, image.objects[0]) for image in ASKING))


def test_a_photo_with_the_class_is_right() -> None:
    """Whatever else it shows; the colour's figures want the colour too, and leave out what nothing could answer."""
    scores = np.array([[0.9, 0.8, 0.1], [0.3, 0.2, 0.9]], np.float32)
    figures = HELD_OUT.retrieval_figures(scores)

    assert figures["retrieval_r1"] == pytest.approx(0.5)
    assert figures["retrieval_r5"] == 1
    # The green boat is in no photo; the blue car's photo comes second.
    assert figures["colour_r1"] == 0
    assert figures["colour_r5"] == 1


def test_datasets_without_colours_have_no_figures_of_them() -> None:
    """VOC and COCO say none."""
    plain = photo("q", TrueObject("car", BOX))
    held_out = HeldOut(("boat", "car"), GALLERY, (plain,), (ObjectQuery(plain, plain.objects[0]),))
    assert set(held_out.retrieval_figures(np.ones((1, 3), np.float32))) == {
        "retrieval_r1",
        "retrieval_r5",
        "retrieval_r10",
    }


def test_unanswerable_queries_give_no_figures() -> None:
    """There is no mean of none."""
    absent = photo("q", thing("car", "green"))
    held_out = HeldOut(("boat", "car"), GALLERY[2:], (absent,), (ObjectQuery(absent, absent.objects[0]),))
    assert held_out.retrieval_figures(np.ones((1, 1), np.float32)) == {}


def test_coverage_counts_what_is_shown() -> None:
    """A weak guess is measured by its precision, but covers nothing."""
    found = [[Detection(BOX, "car", 0.9, 1)], [Detection(BOX, "boat", 0.2, 0)]]
    figures = HELD_OUT.detector_figures(found)
    assert figures["coverage"] == 0.5
    assert figures["detector_map50"] == pytest.approx(1.0)


def test_queries_say_what_they_are() -> None:
    """In words, and whether a photo answers them."""
    query = HELD_OUT.queries[0]
    assert query.described() == "blue car"
    assert [query.is_shown_in(image) for image in GALLERY] == [True, True, False]
