import numpy as np
import pytest

from domain.detection import Detection
from encoders.bundle import Preprocessing, Resize
from encoders.serving.detection import postprocess
from encoders.serving.session import RawDetections

SQUARE = Preprocessing(size=(100, 100))
LABELS = tuple("abcdefghijklmnopqrst")


def raw(*found: tuple[tuple[float, float, float, float], tuple[float, ...]]) -> RawDetections:
    """Boxes and their scores for each class."""
    return RawDetections(
        np.asarray([box for box, _ in found], dtype=np.float32).reshape(-1, 4),
        np.asarray([scores for _, scores in found], dtype=np.float32).reshape(len(found), -1),
    )


def find(
    detections: RawDetections, *, min_score: float = 0.5, limit: int = 10, max_overlap: float | None = None
) -> list[Detection]:
    """Lists what is found in a square image."""
    return postprocess(
        detections,
        labels=LABELS,
        image_px=(100, 100),
        preprocessing=SQUARE,
        min_score=min_score,
        limit=limit,
        max_overlap=max_overlap,
    )


def test_the_better_of_two_overlapping_boxes_stays() -> None:
    """Boxes of one class that overlap by more than .45 are one object, the surest one; less overlap is two."""
    first, second, third = (0.1, 0.1, 0.5, 0.5), (0.12, 0.1, 0.5, 0.5), (0.3, 0.1, 0.7, 0.5)

    found = find(raw((second, (0.8,)), (first, (0.9,)), (third, (0.7,))))

    assert [item.score for item in found] == pytest.approx([0.9, 0.7])
    assert found[0].box == pytest.approx(first)


@pytest.mark.parametrize(("max_overlap", "count"), [(None, 2), (0.45, 2), (0.3, 1), (0.96, 3), (1.0, 3)])
def test_a_detector_has_its_own_overlap(max_overlap: float | None, count: int) -> None:
    """A bundle says how much boxes of one class may overlap; with 1 all stay."""
    boxes = ((0.1, 0.1, 0.5, 0.5), (0.12, 0.1, 0.5, 0.5), (0.3, 0.1, 0.7, 0.5))

    found = find(raw(*((box, (0.9,)) for box in boxes)), max_overlap=max_overlap)

    assert len(found) == count


def test_classes_do_not_hide_one_another() -> None:
    """A rider on a horse is two objects, also where one box carries two classes."""
    box = (0.1, 0.1, 0.5, 0.5)

    found = find(raw((box, (0.9, 0.6)), (box, (0.1, 0.7))))

    assert [(item.class_id, item.label, round(item.score, 2)) for item in found] == [(0, "a", 0.9), (1, "b", 0.7)]


def test_threshold_limit_and_nothing() -> None:
    """The threshold counts, the best come first, and an empty answer is one."""
    boxes = [((tenth / 10, 0.0, tenth / 10 + 0.05, 0.1), (0.1 * tenth,)) for tenth in range(10)]

    assert [round(item.score, 1) for item in find(raw(*boxes), limit=3)] == [0.9, 0.8, 0.7]
    assert len(find(raw(*boxes), min_score=0.0)) == 10
    assert find(raw(*boxes), min_score=0.95) == []


def test_boxes_are_clipped_and_those_outside_dropped() -> None:
    """No box leaves the image, none is empty, none is NaN."""
    found = find(
        raw(
            ((-0.5, -0.5, 0.5, 0.5), (0.9,)),
            ((1.1, 0.1, 1.4, 0.5), (0.9,)),
            ((float("nan"), 0.1, 0.5, 0.5), (0.9,)),
            ((0.1, 0.6, 0.5, 0.9), (float("nan"),)),
        )
    )

    assert [item.box for item in found] == [(0.0, 0.0, 0.5, 0.5)]


@pytest.mark.parametrize(
    ("how", "box"),
    [
        ("squash", (0.25, 0.25, 0.75, 0.75)),
        ("letterbox", (0.25, 0.0, 0.75, 1.0)),
        ("shortest_crop", (0.375, 0.25, 0.625, 0.75)),
    ],
)
def test_boxes_come_back_to_the_image(how: Resize, box: tuple[float, float, float, float]) -> None:
    """However the image was fitted into the input, a box is in normalized coordinates of the image (200 x 100)."""
    answer = raw(((0.25, 0.25, 0.75, 0.75), (0.9,)))

    (found,) = postprocess(
        answer,
        labels=LABELS,
        image_px=(200, 100),
        preprocessing=Preprocessing(size=(100, 100), resize=how),
        min_score=0.5,
        limit=1,
    )

    assert found.box == pytest.approx(box)


def test_a_hundred_thousand_boxes_take_no_time() -> None:
    """With a threshold of 0 the weakest boxes are dropped before they are compared."""
    generator = np.random.default_rng(5)
    corners = generator.random((6300, 2), dtype=np.float32)
    boxes = np.concatenate([corners, corners + 0.1], axis=1)
    scores = generator.random((6300, 20), dtype=np.float32)

    found = find(RawDetections(boxes, scores), min_score=0.0, limit=1000)

    assert len(found) == 1000
