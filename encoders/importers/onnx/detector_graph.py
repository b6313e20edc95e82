"""The nodes around a detector: from uint8 images to its inputs, from its outputs to boxes and scores."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper

from encoders.errors import BundleError
from encoders.importers.nodes import Nodes
from encoders.importers.onnx.detector_spec import BoxFormat, DetectorSpec
from encoders.importers.onnx.frame import NETWORK, floats_of, frame
from encoders.importers.onnx.graphs import opset_of
from encoders.importers.onnx.image_graph import image_value, prepare
from encoders.importers.onnx.signature import inputs_of

_OLDEST_OPSET = 11
Shape = tuple[int, ...]
# From a box's own four numbers to x_min, y_min, x_max, y_max: a row for each of the four, a column for each result.
_CORNERS: Mapping[BoxFormat, Sequence[Sequence[float]]] = {
    "xyxy": [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
    "yxyx": [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]],
    "xywh": [[1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 1]],
    "cxcywh": [[1, 0, 1, 0], [0, 1, 0, 1], [-0.5, 0, 0.5, 0], [0, -0.5, 0, 0.5]],
}


def raw_output(number: int) -> str:
    """What one of the network's outputs is called in float32."""
    return f"fovea/output_{number}"


def surround_raw(
    model: ModelProto, spec: DetectorSpec, *, source: str, outputs: Sequence[str], batch: int
) -> ModelProto:
    """Put the preprocessing before the model; its outputs come out in float32 as they are, to find their shapes."""
    after = Nodes(opset_of(model))
    found = [floats_of(after, output, raw_output(number)) for number, output in enumerate(outputs)]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in found]
    before = _before(model, spec, source)
    return frame(model, before, after, name="fovea_detector", inputs=[image_value(spec.image, batch)], outputs=values)


def surround_detector(
    model: ModelProto,
    spec: DetectorSpec,
    *,
    source: str,
    outputs: Sequence[str],
    shapes: Sequence[Shape],
    classes: int,
    batch: int | None,
) -> ModelProto:
    """Put the preprocessing before the model and what its head means after it.

    The result's input is `image` uint8 (N, H, W, 3), its outputs `boxes` float32 (N, K, 4) and `scores` (N, K, C).
    """
    after = Nodes(opset_of(model))
    raw = [floats_of(after, output, raw_output(number)) for number, output in enumerate(outputs)]
    match spec.detector.head:
        case "dense":
            is_turned = shapes[0][2] != row_length(spec, classes)
            rows = after.add("Transpose", raw, "fovea/rows", perm=[0, 2, 1]) if is_turned else raw[0]
            boxes, scores = _dense(after, rows, spec)
        case "pair":
            boxes, scores = raw[0], _class_scores(after, raw[1], spec)
        case "ranked":
            boxes = _columns(after, raw[0], 0, 4, "fovea/raw_boxes")
            score = _columns(after, raw[0], 4, 5, "fovea/score_column")
            scores = _spread(after, score, _columns(after, raw[0], 5, 6, "fovea/class_column"), spec, classes)
        case "listed":
            boxes, scores = _listed(after, raw, shapes, spec, classes)
    after.add("Identity", [scores], "scores")
    after.add("MatMul", [boxes, after.constant("fovea/corners", _to_corners(spec))], "boxes")
    images = batch or "N"
    return frame(
        model,
        _before(model, spec, source),
        after,
        name="fovea_detector",
        inputs=[image_value(spec.image, batch)],
        outputs=[
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [images, "K", 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [images, "K", classes]),
        ],
    )


def row_length(spec: DetectorSpec, classes: int) -> int:
    """How many numbers a dense head has for each box."""
    head = spec.detector
    return 4 + int(head.objectness) + classes + int(head.no_object != "none")


def _columns(nodes: Nodes, name: str, first: int, end: int | None, output: str) -> str:
    """Append the columns of (N, K, R) from `first` up to `end`; None is all, counts from the end are negative."""
    bounds = {"from": first, "to": np.iinfo(np.int64).max if end is None else end, "axis": 2}
    inputs = [nodes.integers(f"{output}_{bound}", [value]) for bound, value in bounds.items()]
    return nodes.add("Slice", [name, *inputs], output)


def _before(model: ModelProto, spec: DetectorSpec, source: str) -> Nodes:
    if opset_of(model) < _OLDEST_OPSET:
        raise BundleError(f"The detector uses opset {opset_of(model)}: export it again with opset 13 or later.")
    nodes = Nodes(opset_of(model))
    prepare(nodes, spec.image, source)
    width_px, height_px = spec.image.size
    head, kinds = spec.detector, {name: value.type.tensor_type.elem_type for name, value in inputs_of(model).items()}
    images = nodes.add("Shape", ["image"], "fovea/image_shape") if head.image_size or head.pixel_mask else ""
    if head.image_size:
        count = nodes.add("Gather", [images, nodes.integers("fovea/count_axis", [0])], "fovea/image_count", axis=0)
        shape = nodes.add("Concat", [count, nodes.integers("fovea/two", [2])], "fovea/sizes_shape", axis=0)
        sizes = nodes.add("Expand", [nodes.integers("fovea/size", [width_px, height_px]), shape], "fovea/sizes")
        nodes.add("Cast", [sizes], NETWORK + head.image_size, to=kinds[head.image_size])
    if head.pixel_mask:
        shape = nodes.add("Gather", [images, nodes.integers("fovea/pixel_axes", [0, 1, 2])], "fovea/mask_shape", axis=0)
        ones = nodes.add("Expand", [nodes.integers("fovea/seen", [1]), shape], "fovea/ones")
        nodes.add("Cast", [ones], NETWORK + head.pixel_mask, to=kinds[head.pixel_mask])
    return nodes


def _dense(nodes: Nodes, rows: str, spec: DetectorSpec) -> tuple[str, str]:
    """Boxes and scores of rows (N, K, R)."""
    boxes = _columns(nodes, rows, 0, 4, "fovea/raw_boxes")
    if not spec.detector.objectness:
        return boxes, _class_scores(nodes, _columns(nodes, rows, 4, None, "fovea/raw_scores"), spec)
    scores = _class_scores(nodes, _columns(nodes, rows, 5, None, "fovea/raw_scores"), spec)
    objectness = _activated(nodes, _columns(nodes, rows, 4, 5, "fovea/raw_objectness"), spec, "fovea/objectness")
    return boxes, nodes.add("Mul", [scores, objectness], "fovea/joint_scores")


def _class_scores(nodes: Nodes, raw: str, spec: DetectorSpec) -> str:
    """From raw class scores to those of the classes that mean something."""
    scores = _activated(nodes, raw, spec, "fovea/class_scores")
    match spec.detector.no_object:
        case "none":
            return scores
        case "first":
            return _columns(nodes, scores, 1, None, "fovea/object_scores")
        case "last":
            return _columns(nodes, scores, 0, -1, "fovea/object_scores")


def _activated(nodes: Nodes, raw: str, spec: DetectorSpec, output: str) -> str:
    match spec.detector.score_activation:
        case "none":
            return raw
        case "sigmoid":
            return nodes.add("Sigmoid", [raw], output)
        case "softmax":
            return nodes.add("Softmax", [raw], output, axis=2)


def _listed(
    nodes: Nodes, raw: Sequence[str], shapes: Sequence[Shape], spec: DetectorSpec, classes: int
) -> tuple[str, str]:
    """Boxes and spread scores of lists, of which those behind the count score 0."""
    boxes, score, class_id = raw[:3]
    if len(shapes[0]) == 2:  # one image at a time, without an axis for it
        boxes, score, class_id = (
            nodes.unsqueeze(name, f"fovea/one_{number}", axis=0) for number, name in enumerate(raw[:3])
        )
    score = nodes.unsqueeze(score, "fovea/score_column", axis=2)
    class_id = nodes.unsqueeze(class_id, "fovea/class_column", axis=2)
    if len(raw) == 4:
        counts = nodes.add("Reshape", [raw[3], nodes.integers("fovea/count_shape", [-1, 1, 1])], "fovea/counts")
        shape = nodes.add("Shape", [score], "fovea/score_shape")
        limit = nodes.add("Gather", [shape, nodes.scalar("fovea/list_axis", 1)], "fovea/list_length", axis=0)
        limits = [nodes.scalar("fovea/first", 0), limit, nodes.scalar("fovea/step", 1)]
        position = nodes.add("Cast", [nodes.add("Range", limits, "fovea/range")], "fovea/row", to=TensorProto.FLOAT)
        column = nodes.add("Reshape", [position, nodes.integers("fovea/position_shape", [1, -1, 1])], "fovea/positions")
        counted = nodes.add("Less", [column, counts], "fovea/is_counted")
        score = nodes.add("Where", [counted, score, nodes.floats("fovea/no_score", 0.0)], "fovea/counted_score")
    return boxes, _spread(nodes, score, class_id, spec, classes)


def _spread(nodes: Nodes, score: str, class_id: str, spec: DetectorSpec, classes: int) -> str:
    """From a score and a class for each box, (N, K, 1) each, to scores (N, K, C); unknown classes score 0 everywhere."""
    known = np.arange(classes)[None, None] + spec.detector.first_class
    raised = nodes.add("Add", [class_id, nodes.floats("fovea/half_class", 0.5)], "fovea/raised_class")
    # Compared as integers: what exporters compute as floats is rounded first.
    whole = nodes.add("Cast", [nodes.add("Floor", [raised], "fovea/class")], "fovea/whole_class", to=TensorProto.INT64)
    is_class = nodes.add("Equal", [whole, nodes.constant("fovea/classes", known.astype(np.int64))], "fovea/is_class")
    mask = nodes.add("Cast", [is_class], "fovea/class_mask", to=TensorProto.FLOAT)
    return nodes.add("Mul", [_activated(nodes, score, spec, "fovea/listed_score"), mask], "fovea/spread_scores")


def _to_corners(spec: DetectorSpec) -> NDArray[np.float32]:
    corners = np.array(_CORNERS[spec.detector.box_format], np.float32)
    if spec.detector.box_unit == "pixels":
        corners /= np.array(spec.image.size * 2, np.float32)
    return corners
