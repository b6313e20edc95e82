from pathlib import Path

import pytest

from domain.box import WHOLE_IMAGE
from domain.detection import Detection
from training.datasets.annotated import TrueObject
from training.everyday_objects import EverydayObjects

PATHS = tuple(Path(f"{number}.jpg") for number in range(3))


def test_photos_are_ranked_by_the_best_score_of_a_kind() -> None:
    """A kind that one photo shows, or that has no label, does not count; a photo counts once, by its best detection."""
    kinds = (frozenset({"cat", "kitchen"}), frozenset({"cat", "dog", "kitchen"}), frozenset[str]())
    photos = EverydayObjects(PATHS, kinds, {"0.jpg": (TrueObject("cat", WHOLE_IMAGE),)})
    found = [
        [Detection(WHOLE_IMAGE, "cat", 0.2, 0), Detection(WHOLE_IMAGE, "cat", 0.3, 0)],
        [],
        [Detection(WHOLE_IMAGE, "cat", 0.9, 0)],
    ]

    figures = photos.figures(found, ["cat", "dog"])

    # The wrong photo is first, the right ones come second and third: 1/2 and 2/3.
    assert figures["kinds_p1"] == 0
    assert figures["kinds_map"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    # The better of the two boxes counts; the photo without known objects has none that are wrong.
    assert figures["map50"] == pytest.approx(1)
    assert figures["coverage"] == pytest.approx(1 / 3)
