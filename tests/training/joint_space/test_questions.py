"""What the joint space is asked, and how answers are judged."""

from pathlib import Path

import numpy as np
import pytest

from training.joint_space.domains import Domain, held_out_domains
from training.joint_space.labels import own_classes
from training.joint_space.questions import Questions, drawn, named, plain
from training.runner import REALDATA
from training.serving import Query

SHOWN = [frozenset({"dog", "sea"}), frozenset({"dog"}), frozenset({"cat"})]
GALLERY = Domain("few", [Path("a.jpg"), Path("b.jpg"), Path("c.jpg")], SHOWN)


def test_a_photo_is_right_if_it_has_all_labels_of_one_alternative() -> None:
    """Labels of one list are needed together; one list of several is enough."""
    asked = Questions(
        "few",
        [GALLERY],
        [Query(text="a dog in the sea"), Query(text="a pet")],
        [[frozenset({"dog", "sea"})], [frozenset({"dog"}), frozenset({"cat"})]],
    )

    assert asked.right().tolist() == [[True, False, False], [True, True, True]]


def test_figures_are_those_of_the_order() -> None:
    """One query finds its photo second of three; another finds its first."""
    asked = Questions(
        "few", [GALLERY], [Query(text="a cat"), Query(text="the sea")], [[frozenset({"cat"})], [frozenset({"sea"})]]
    )
    scores = np.array([[0.9, 0.1, 0.5], [0.8, 0.2, 0.1]], np.float32)

    assert asked.figures(scores) == {"few_p1": 0.5, "few_r5": 1.0, "few_map": 0.75}


def test_a_photo_does_not_find_itself() -> None:
    """Of photos that look for their like, the own one is left out."""
    asked = Questions(
        "few", [GALLERY], [Query(image=b"a"), Query(image=b"b")], [[frozenset({"dog"})]] * 2, are_own=True
    )
    scores = np.array([[1.0, 0.1, 0.5], [0.2, 1.0, 0.1]], np.float32)

    assert asked.figures(scores) == {"few_p1": 0.5, "few_r5": 1.0, "few_map": 0.75}


@pytest.mark.realdata
@pytest.mark.skipif(not REALDATA.exists(), reason="../shared/realdata is not there")
def test_every_query_that_was_written_down_has_an_answer() -> None:
    """Thirty in words, a hundred drawings, forty mixtures; there is a right photo for each, and far more wrong ones."""
    own = own_classes(REALDATA)
    gallery = named(held_out_domains(REALDATA, own), own, REALDATA / "demo")
    words, drawings = plain(gallery), drawn(gallery, REALDATA / "sketches")

    assert sum(len(asked.queries) for asked in words) == 30
    assert [len(asked.queries) for asked in drawings] == [100, 40, 40, 40]
    for asked in (*words, *drawings):
        right = asked.right()
        assert right.any(axis=1).all(), asked.name
        assert right.mean() < 0.25, asked.name
