from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from encoders.bundle import Bundle
from encoders.errors import BundleError
from encoders.importers.onnx.detector import import_detector
from encoders.importers.onnx.detector_spec import DetectorSpec, image_or_detector
from encoders.importers.onnx.spec import ImageSpec
from encoders.serving.detection import postprocess
from encoders.serving.providers import SessionOptions
from encoders.serving.session import DetectorSession, RawDetections

Floats = NDArray[np.float32]
Found = tuple[str, float, tuple[float, float, float, float]]
"""Label, score and the corners in pixels of the image."""

SIZE = (96, 64)
LABELS = ("cat", "dog", "bird")
IMAGE_PX = (300, 150)
MIN_SCORE = 0.2
IMAGES = np.random.default_rng(0).integers(0, 256, (3, SIZE[1], SIZE[0], 3), dtype=np.uint8)
# Corners in pixels of the input, each box with its class and score; the second hides behind the first.
TRUTH: list[tuple[tuple[float, float, float, float], int, float]] = [
    ((10, 16, 40, 50), 0, 0.9),
    ((11, 17, 41, 50), 0, 0.6),
    ((11, 17, 41, 50), 1, 0.5),
    ((50, 20, 90, 44), 2, 0.8),
    ((0, 8, 30, 20), 1, 0.05),
]


def network(
    path: Path,
    outputs: Mapping[str, NDArray[Any]],
    *,
    batch: int | str = "N",
    further: Mapping[str, tuple[int, list[Any]]] | None = None,
    endings: Mapping[str, list[NodeProto]] | None = None,
) -> Path:
    """A network that looks at its image and then answers what it always does.

    `endings` are the last nodes of an output, which begin with its name and `_float`; `further` are more inputs.
    """
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "nothing"], ["zero"]),
    ]
    constants = [numpy_helper.from_array(np.array(0, np.float32), "nothing")]
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, SIZE[1], SIZE[0]])]
    for name, (kind, shape) in (further or {}).items():
        inputs.append(helper.make_tensor_value_info(name, kind, shape))
    for name, values in outputs.items():
        constants.append(numpy_helper.from_array(values.astype(np.float32), f"{name}_value"))
        constants.append(numpy_helper.from_array(np.array([-1] + [1] * (values.ndim - 1), np.int64), f"{name}_shape"))
        nodes.append(helper.make_node("Reshape", ["zero", f"{name}_shape"], [f"{name}_zero"]))
        nodes.append(helper.make_node("Add", [f"{name}_value", f"{name}_zero"], [f"{name}_float"]))
        nodes.extend((endings or {}).get(name) or [helper.make_node("Identity", [f"{name}_float"], [name])])
    graph = helper.make_graph(
        nodes,
        "detector",
        inputs,
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        constants,
    )
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)]), path)
    return path


def detect(bundle: Bundle, precision: str = "") -> list[Found]:
    """What serving finds in an image of `IMAGE_PX`; the same for each of three in a batch."""
    session = DetectorSession(bundle, SessionOptions(precision=precision))
    session.warm_up()
    batches = [[image] for image in IMAGES] if bundle.max_batch == 1 else [list(IMAGES)]
    found = [list(objects(bundle, raw)) for batch in batches for raw in session.run(batch).results]
    assert found[0] == found[1] == found[2]
    return found[0]


def objects(bundle: Bundle, raw: object) -> Iterator[Found]:
    assert isinstance(raw, RawDetections), raw
    detections = postprocess(
        raw,
        labels=bundle.labels,
        image_px=IMAGE_PX,
        preprocessing=bundle.image_preprocessing,
        min_score=MIN_SCORE,
        limit=50,
        max_overlap=bundle.max_overlap,
    )
    for detection in detections:
        x_min, y_min, x_max, y_max = detection.box
        width_px, height_px = IMAGE_PX
        yield (
            detection.label,
            round(detection.score, 4),
            (x_min * width_px, y_min * height_px, x_max * width_px, y_max * height_px),
        )


def decoded(*, hides: bool, letterbox: bool) -> list[Found]:
    """The same by hand: input pixels back to the image's, threshold, suppression within a class, best first."""
    scale, left, top = (SIZE[0] / 300, 0.0, (64 - 48) / 2) if letterbox else (None, 0.0, 0.0)
    found: list[Found] = []
    for corners, number, score in sorted(TRUTH, key=lambda each: -each[2]):
        x_min, y_min, x_max, y_max = corners
        if scale is None:
            box = (x_min * 300 / 96, y_min * 150 / 64, x_max * 300 / 96, y_max * 150 / 64)
        else:
            box = ((x_min - left) / scale, (y_min - top) / scale, (x_max - left) / scale, (y_max - top) / scale)
        box = (max(box[0], 0), max(box[1], 0), min(box[2], 300), min(box[3], 150))
        is_hidden = hides and any(LABELS[number] == label and overlap(box, other) > 0.45 for label, _, other in found)
        if score >= MIN_SCORE and not is_hidden:
            found.append((LABELS[number], score, box))
    return found


def overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared)


def check(found: list[Found], expected: list[Found]) -> None:
    """Equal labels, scores within a thousandth and corners within a pixel."""
    assert [label for label, _, _ in found] == [label for label, _, _ in expected]
    np.testing.assert_allclose([score for _, score, _ in found], [score for _, score, _ in expected], atol=1e-3)
    np.testing.assert_allclose([box for _, _, box in found], [box for _, _, box in expected], atol=1)


def corners(unit: str = "pixels") -> Floats:
    """The boxes of `TRUTH` (1, K, 4)."""
    boxes = np.array([box for box, _, _ in TRUTH], np.float32)[None]
    if unit == "normalized":
        boxes /= np.array(SIZE * 2, np.float32)
    return boxes


def centres(unit: str = "pixels") -> Floats:
    boxes = corners(unit)
    return np.concatenate([(boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]], axis=2)


def class_scores() -> Floats:
    """Scores (1, K, C): the class's own, and hardly anything for the others."""
    scores = np.full((1, len(TRUTH), len(LABELS)), 0.01, np.float32)
    for row, (_, number, score) in enumerate(TRUTH):
        scores[0, row, number] = score
    return scores


def logits(scores: Floats) -> Floats:
    raw: Floats = np.log(scores / (1 - scores))
    return raw


def column(values: list[float]) -> Floats:
    return np.array(values, np.float32)[None, :, None]


SCORES = column([score for _, _, score in TRUTH])
CLASSES = column([number for _, number, _ in TRUTH])
LETTERBOX: dict[str, Any] = {"resize": "letterbox", "fill": 114}


def swapped(boxes: Floats) -> Floats:
    return boxes[..., [1, 0, 3, 2]]


def no_object_logits() -> Floats:
    """Softmax over four classes, the last of which is none."""
    scores = class_scores()
    raw: Floats = np.log(np.concatenate([scores, 1 - scores.sum(axis=2, keepdims=True)], axis=2)) + 3
    return raw


HEADS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, NDArray[Any]], bool]] = {
    "yolov8": (
        LETTERBOX,
        {"head": "dense"},
        {"output0": np.concatenate([centres(), class_scores()], axis=2).transpose(0, 2, 1)},
        True,
    ),
    "yolov5": (
        LETTERBOX,
        {"head": "dense", "objectness": True},
        {
            "output0": np.concatenate(
                [centres(), np.full_like(SCORES, 0.5), np.minimum(2 * class_scores(), 1.999)], axis=2
            )
        },
        True,
    ),
    "yolov5 of raw numbers": (
        {},
        {"head": "dense", "objectness": True, "activation": "sigmoid"},
        {"output": np.concatenate([centres(), np.full_like(SCORES, 20), logits(class_scores())], axis=2)},
        True,
    ),
    "yolo26": (
        LETTERBOX,
        {"head": "ranked"},
        {"output0": np.concatenate([corners(), SCORES, CLASSES], axis=2)},
        False,
    ),
    "rt-detr": (
        {},
        {"head": "pair"},
        {"logits": logits(class_scores()), "pred_boxes": centres("normalized")},
        False,
    ),
    "detr": (
        {},
        {"head": "pair", "activation": "softmax", "no_object": "last"},
        {"logits": no_object_logits(), "pred_boxes": centres("normalized")},
        False,
    ),
    "ssd without suppression": (
        {},
        {"head": "pair", "box": "yxyx", "activation": "softmax", "no_object": "first", "max_overlap": 0.45},
        {"boxes": swapped(corners("normalized")), "scores": np.roll(no_object_logits(), 1, axis=2)},
        True,
    ),
    "ssd": (
        {},
        {"head": "listed", "first_class": 1},
        {
            "detection_boxes": swapped(corners("normalized")),
            "detection_classes": CLASSES[..., 0] + 1,
            "detection_scores": SCORES[..., 0],
            "num_detections": np.array([5]),
        },
        False,
    ),
    "torchvision": (
        {},
        {"head": "listed", "box": "xywh", "unit": "pixels", "outputs": ["bx", "sc", "lb"]},
        {
            "bx": np.concatenate([corners()[..., :2], centres()[..., 2:]], axis=2),
            "lb": CLASSES[..., 0],
            "sc": SCORES[..., 0],
        },
        False,
    ),
}


def spec_of(detector: Mapping[str, Any], **image: Any) -> DetectorSpec:
    return DetectorSpec.of({"image": {"size": list(SIZE), "scale": 1 / 255, **image}, "detector": dict(detector)})


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("batch", ["N", 1])
def test_heads_are_decoded_as_by_hand(tmp_path: Path, name: str, batch: str | int) -> None:
    """Labels, scores and boxes of every family are those of a decode that shares no code with the import."""
    image, detector, outputs, hides = HEADS[name]
    path = network(tmp_path / "a.onnx", outputs, batch=batch)

    bundle = import_detector(path, name="a", spec=spec_of(detector, **image), labels=LABELS, out=tmp_path / "models")

    assert (bundle.kind, bundle.labels, bundle.max_batch) == ("detector", LABELS, None)
    assert "warnings" not in bundle.gate
    check(detect(bundle), decoded(hides=hides, letterbox=bool(image)))


def test_only_counted_boxes_are_found(tmp_path: Path) -> None:
    """What lies behind the count of a list is left over from nothing."""
    _, detector, outputs, _ = HEADS["ssd"]
    path = network(tmp_path / "a.onnx", {**outputs, "num_detections": np.array([1])})

    bundle = import_detector(path, name="a", spec=spec_of(detector), labels=LABELS, out=tmp_path / "models")

    check(detect(bundle), decoded(hides=False, letterbox=False)[:1])


def test_lists_without_an_axis_for_images(tmp_path: Path) -> None:
    """Torchvision's detectors find boxes (K, 4) in one image: they are served one at a time, and may find none."""
    _, detector, outputs, _ = HEADS["torchvision"]
    single = {name: values[0] for name, values in outputs.items()}
    path = network(tmp_path / "a.onnx", single, batch=1)
    nothing = network(tmp_path / "b.onnx", {name: values[:0] for name, values in single.items()}, batch=1)

    bundle = import_detector(path, name="a", spec=spec_of(detector), labels=LABELS, out=tmp_path / "models")
    empty = import_detector(nothing, name="b", spec=spec_of(detector), labels=LABELS, out=tmp_path / "models")

    assert bundle.max_batch == 1
    check(detect(bundle), decoded(hides=False, letterbox=False))
    assert detect(empty) == []


def test_size_and_mask_are_further_inputs(tmp_path: Path) -> None:
    """RT-DETR's own export asks for the image's size, and DETR's for a mask of ones."""
    _, detector, outputs, _ = HEADS["torchvision"]
    scaling = [
        helper.make_node("Cast", ["sizes"], ["sizes_float"], to=TensorProto.FLOAT),
        helper.make_node("Concat", ["sizes_float", "sizes_float"], ["sizes_twice"], axis=1),
        helper.make_node("Reshape", ["sizes_twice", "rows"], ["sizes_rows"]),
        helper.make_node("Cast", ["seen"], ["seen_float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["seen_float"], ["seen_mean"], axes=[1, 2], keepdims=1),
        helper.make_node("Mul", ["bx_float", "sizes_rows"], ["bx_sized"]),
        helper.make_node("Mul", ["bx_sized", "seen_mean"], ["bx"]),
        helper.make_node("Constant", [], ["rows"], value=numpy_helper.from_array(np.array([0, 1, 4]), "rows")),
    ]
    path = network(
        tmp_path / "a.onnx",
        {**outputs, "bx": outputs["bx"] / np.array(SIZE * 2)},
        further={"sizes": (TensorProto.INT64, ["N", 2]), "seen": (TensorProto.INT64, ["N", "H", "W"])},
        endings={"bx": [scaling[-1], *scaling[:-1]]},
    )
    spec = spec_of({**detector, "image_size": "sizes", "pixel_mask": "seen"})

    bundle = import_detector(path, name="a", spec=spec, labels=LABELS, out=tmp_path / "models")

    check(detect(bundle), decoded(hides=False, letterbox=False))


def test_half_precision_finds_the_same(tmp_path: Path) -> None:
    """The file of 16 bits is served and finds the same boxes."""
    _, detector, outputs, _ = HEADS["rt-detr"]
    path = network(tmp_path / "a.onnx", outputs)

    bundle = import_detector(path, name="a", spec=spec_of(detector), labels=LABELS, out=tmp_path / "models", fp16=True)

    assert set(bundle.precisions) == {"fp32", "fp16"}
    check(detect(bundle, "fp16"), decoded(hides=False, letterbox=False))


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("yolov8", {"objectness": True}, "output0 1 x 7 x 5; a head 'dense' with 3 labels has 8 numbers"),
        ("yolov8", {"head": "ranked"}, "has 6 numbers for each box"),
        ("yolov8", {"head": "pair"}, "must name detector.outputs for the head pair; the model's are output0"),
        ("yolov8", {"outputs": ["output1"]}, "no output 'output1'; its outputs are output0"),
        ("rt-detr", {"no_object": "last"}, "4 scores for each"),
        ("rt-detr", {"activation": "none"}, r"scores go from -4.6 to 2.2, not from 0 to 1.*detector.activation"),
        ("ssd", {"outputs": ["detection_boxes", "detection_scores"]}, "has 2 names; the head listed has 3 or 4"),
        ("ssd", {"image_size": "sizes"}, "no input 'sizes'; its inputs are images"),
        ("ssd", {"first_class": 2}, "detector.first_class is 2; it must be 0 or 1"),
        ("ssd", {"activation": "softmax"}, "are for the heads dense and pair"),
        ("ssd", {"max_overlap": 0}, "detector.max_overlap is 0; it must be a number above 0"),
        ("ssd", {"boxes": "xyxy"}, "key 'detector.boxes' is unknown"),
    ],
)
def test_spec_that_is_not_true_to_the_model_is_refused(
    tmp_path: Path, name: str, changes: dict[str, Any], words: str
) -> None:
    """A spec and a detector that disagree cost one line, and no bundle is left."""
    _, detector, outputs, _ = HEADS[name]
    path = network(tmp_path / "a.onnx", outputs)

    with pytest.raises(BundleError, match=words) as refused:
        import_detector(path, name="a", spec=spec_of({**detector, **changes}), labels=LABELS, out=tmp_path / "models")

    assert "\n" not in str(refused.value)
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("name", "unit", "words"), [("yolov8", "normalized", "pixels"), ("ssd", "pixels", "normalized")]
)
def test_boxes_in_another_unit_are_warned_of(tmp_path: Path, name: str, unit: str, words: str) -> None:
    """Pixels read as normalized coordinates lie far outside of the image, the other way round all in one corner."""
    _, detector, outputs, _ = HEADS[name]
    spec = spec_of({**detector, "unit": unit})

    bundle = import_detector(
        network(tmp_path / "a.onnx", outputs), name="a", spec=spec, labels=LABELS, out=tmp_path / "models"
    )

    assert f'"unit": "{words}"' in bundle.gate["warnings"][0]


def test_scores_that_are_nan_are_refused(tmp_path: Path) -> None:
    """Damaged weights are found before anything is published."""
    _, detector, outputs, _ = HEADS["rt-detr"]
    path = network(tmp_path / "a.onnx", {**outputs, "logits": np.full_like(outputs["logits"], np.nan)})

    with pytest.raises(BundleError, match="scores are NaN"):
        import_detector(path, name="a", spec=spec_of(detector), labels=LABELS, out=tmp_path / "models")


def test_a_spec_is_a_detectors_by_its_key() -> None:
    """One option reads both kinds of spec; a pair's says which option reads it."""
    assert isinstance(image_or_detector({"size": [8, 8]}), ImageSpec)
    assert isinstance(image_or_detector({"image": {"size": [8, 8]}, "detector": {"head": "dense"}}), DetectorSpec)
    with pytest.raises(BundleError, match="--pair IMAGE TEXT"):
        image_or_detector({"image": {"size": [8, 8]}, "text": {}})
    with pytest.raises(BundleError, match=r'needs "detector\.head"'):
        image_or_detector({"image": {"size": [8, 8]}, "detector": {}})
