"""Tiny bundles, made in a second, that really look at the image and really read the words."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from domain.modality import Modality
from encoders.bundle import Bundle, ModelFile, Preprocessing, Tower, space_of
from tests.support.images import COLOURS

SEED = 7
INPUT_PX = 16
DETECTOR_INPUT_PX = 64
DETECTOR_LABELS = ("red", "green", "blue", "yellow")
OPSET = [helper.make_opsetid("", 17)]
PREPROCESSING = Preprocessing(size=(INPUT_PX, INPUT_PX))
UNKNOWN = "[UNK]"


def tiny_image_bundle(
    folder: Path,
    name: str = "tiny",
    dimension: int = 16,
    *,
    seed: int = SEED,
    modalities: tuple[Modality, ...] = ("image",),
    max_batch: int | None = None,
    **described: Any,
) -> Bundle:
    """Write a bundle whose embedding is the coarse colour layout: two images are near when their quarters agree.

    `modalities=("image", "sketch")` makes it read drawings too; `("sketch",)` makes a sketch bundle of the same space.
    `folder` becomes the bundle's folder; `described` are more fields of its description. Another `seed` is another space.
    """
    model = _image_model(dimension, max_batch, seed)
    return _written(
        folder,
        {"fp32": model},
        name=name,
        kind="image" if "image" in modalities else "sketch",
        modalities=modalities,
        space=_space(dimension, seed),
        dimension=dimension,
        preprocessing=PREPROCESSING,
        max_batch=max_batch,
        **described,
    )


def tiny_text_bundle(
    folder: Path, name: str = "tiny_text", dimension: int = 16, max_tokens: int = 8, **described: Any
) -> Bundle:
    """Write a bundle of the same space as `tiny_image_bundle`: "red" is near red images; it knows colours only."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = folder / "tokenizer.json"
    tokenizer.write_bytes(_tokenizer_json())
    return _written(
        folder,
        {"fp32": _text_model(dimension)},
        name=name,
        kind="text",
        modalities=("text",),
        space=_space(dimension),
        dimension=dimension,
        tokenizer=ModelFile.of(tokenizer),
        max_tokens=max_tokens,
        **described,
    )


def tiny_detector_bundle(folder: Path, name: str = "tiny_detector", **described: Any) -> Bundle:
    """Write a detector that finds one saturated block of each of four colours; its score is how full the box is."""
    return _written(
        folder,
        {"fp32": _detector_model()},
        name=name,
        kind="detector",
        labels=DETECTOR_LABELS,
        preprocessing=Preprocessing(size=(DETECTOR_INPUT_PX, DETECTOR_INPUT_PX)),
        **described,
    )


def _written(folder: Path, models: dict[str, onnx.ModelProto], **described: Any) -> Bundle:
    folder.mkdir(parents=True, exist_ok=True)
    precisions = {}
    for precision, model in models.items():
        onnx.checker.check_model(model)
        path = folder / f"model_{precision}.onnx"
        path.write_bytes(model.SerializeToString(deterministic=True))
        precisions[precision] = ModelFile.of(path)
    bundle = Bundle(
        folder=folder,
        version="1",
        precisions=precisions,
        licence="Apache-2.0",
        trained_on="nothing: drawn up by hand for tests",
        **described,
    )
    bundle.write(folder)
    return bundle


def _space(dimension: int, seed: int = SEED) -> str:
    layout = "tiny layout of colours" if seed == SEED else f"tiny layout of colours {seed}"
    return space_of(dimension, Tower(layout, PREPROCESSING), Tower("tiny colour words"))


def _projection(dimension: int, seed: int = SEED) -> np.ndarray:
    """Turn the 13 numbers of a layout (4 quarters of R, G, B and a constant) into `dimension` numbers: (13, D)."""
    square = np.random.default_rng(seed).normal(size=(max(13, dimension),) * 2)
    return np.linalg.qr(square)[0][:13, :dimension].astype(np.float32)


def _constant(name: str, value: Any, dtype: type = np.float32) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(value, dtype=dtype), name)


def _model(name: str, nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: list[Any]) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, name, inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=OPSET, ir_version=9, producer_name="fovea tests")


def _image_input(side_px: int, batch: int | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info("image", TensorProto.UINT8, [batch or "N", side_px, side_px, 3])


def _embedding_output(dimension: int, batch: int | None = None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [batch or "N", dimension])


def _image_model(dimension: int, batch: int | None, seed: int) -> onnx.ModelProto:
    half = INPUT_PX // 2
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["float", "full"], ["shares"]),
        helper.make_node("Sub", ["shares", "middle"], ["centred"]),
        helper.make_node("Transpose", ["centred"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["planes"], ["quarters"], kernel_shape=[half, half], strides=[half, half]),
        helper.make_node("Flatten", ["quarters"], ["layout"]),
        helper.make_node("MatMul", ["layout", "projection"], ["projected"]),
        helper.make_node("Add", ["projected", "constant"], ["raw"]),
        helper.make_node("LpNormalization", ["raw"], ["embedding"], axis=1, p=2),
    ]
    projection = _projection(dimension, seed)
    constants = [
        _constant("full", 255.0),
        _constant("middle", 0.5),
        _constant("projection", projection[:12]),
        _constant("constant", 0.25 * projection[12]),
    ]
    return _model("tiny", nodes, [_image_input(INPUT_PX, batch)], [_embedding_output(dimension, batch)], constants)


def _text_model(dimension: int) -> onnx.ModelProto:
    projection = _projection(dimension)
    # A word is the layout of its colour in all four quarters, planes first as the image's graph has them.
    rows = [np.zeros(12), *(np.repeat(np.asarray(colour) / 255 - 0.5, 4) for colour in COLOURS.values())]
    table = np.stack(rows) @ projection[:12] + 0.25 * projection[12]
    nodes = [
        helper.make_node("Gather", ["table", "tokens"], ["words"]),
        helper.make_node("Shape", ["tokens"], ["tokens_shape"]),
        helper.make_node("Gather", ["tokens_shape", "one"], ["width"]),
        helper.make_node("Range", ["zero", "width", "one"], ["places"]),
        helper.make_node("Unsqueeze", ["lengths", "last"], ["ends"]),
        helper.make_node("Less", ["places", "ends"], ["is_word"]),
        helper.make_node("Cast", ["is_word"], ["weights"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["weights", "last"], ["mask"]),
        helper.make_node("Mul", ["words", "mask"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "one_axis"], ["bag"], keepdims=0),
        helper.make_node("LpNormalization", ["bag"], ["embedding"], axis=1, p=2),
    ]
    constants = [
        _constant("table", table),
        _constant("zero", 0, np.int64),
        _constant("one", 1, np.int64),
        _constant("last", [-1], np.int64),
        _constant("one_axis", [1], np.int64),
    ]
    inputs = [
        helper.make_tensor_value_info("tokens", TensorProto.INT64, ["N", "T"]),
        helper.make_tensor_value_info("lengths", TensorProto.INT64, ["N"]),
    ]
    return _model("tiny_text", nodes, inputs, [_embedding_output(dimension)], constants)


def _tokenizer_json() -> bytes:
    vocabulary = {UNKNOWN: 0, **{word: index for index, word in enumerate(COLOURS, start=1)}}
    return json.dumps(
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [],
            "normalizer": {"type": "Lowercase"},
            "pre_tokenizer": {"type": "Whitespace"},
            "post_processor": None,
            "decoder": None,
            "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": UNKNOWN},
        },
        sort_keys=True,
    ).encode()


def _detector_model() -> onnx.ModelProto:
    side = DETECTOR_INPUT_PX
    # Saturation of a colour: how far it stands out of the channels that it must not have.
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "expected"], ["low"]),
        helper.make_node("Conv", ["planes", "unwanted"], ["high"]),
        helper.make_node("Less", ["low", "low_limit"], ["lacks_wanted"]),
        helper.make_node("Greater", ["high", "high_limit"], ["has_unwanted"]),
        helper.make_node("Or", ["lacks_wanted", "has_unwanted"], ["is_other"]),
        helper.make_node("Not", ["is_other"], ["is_colour"]),
        helper.make_node("Cast", ["is_colour"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["mask"], ["columns"], axes=[2], keepdims=0),
        helper.make_node("ReduceMax", ["mask"], ["rows"], axes=[3], keepdims=0),
        *_extent("columns", "x"),
        *_extent("rows", "y"),
        helper.make_node("Concat", ["x_min", "y_min", "x_max", "y_max"], ["boxes"], axis=2),
        helper.make_node("ReduceSum", ["mask", "picture_axes"], ["area"], keepdims=0),
        helper.make_node("Sub", ["x_max", "x_min"], ["width"]),
        helper.make_node("Sub", ["y_max", "y_min"], ["height"]),
        helper.make_node("Mul", ["width", "height"], ["box_share"]),
        helper.make_node("Mul", ["box_share", "pixels"], ["box_area"]),
        helper.make_node("Unsqueeze", ["area", "last"], ["area_column"]),
        helper.make_node("Div", ["area_column", "box_area"], ["fullness"]),
        helper.make_node("Mul", ["fullness", "own_class"], ["scores"]),
    ]
    # Yellow wants red and green, so its conv takes their mean; the others want one channel.
    expected = np.asarray([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.5, 0]])
    unwanted = np.asarray([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0], [0, 0, 1]])
    constants = [
        _constant("expected", expected.reshape(4, 3, 1, 1)),
        _constant("unwanted", unwanted.reshape(4, 3, 1, 1)),
        _constant("low_limit", 160.0),
        _constant("high_limit", 80.0),
        _constant("zero_one", 1.0 / side),
        _constant("side", float(side)),
        _constant("pixels", float(side * side)),
        _constant("own_class", np.eye(4)),
        _constant("picture_axes", [2, 3], np.int64),
        _constant("last", [-1], np.int64),
    ]
    outputs = [
        helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["N", 4, 4]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 4, 4]),
    ]
    return _model("tiny_detector", nodes, [_image_input(side, None)], outputs, constants)


def _extent(occupied: str, axis: str) -> list[onnx.NodeProto]:
    """Find the first and one past the last occupied row or column in normalized coordinates, (N, 4, 1) each."""
    return [
        helper.make_node("ArgMax", [occupied], [f"{axis}_first"], axis=2, keepdims=1),
        helper.make_node("ArgMax", [occupied], [f"{axis}_last"], axis=2, keepdims=1, select_last_index=1),
        helper.make_node("Cast", [f"{axis}_first"], [f"{axis}_first_float"], to=TensorProto.FLOAT),
        helper.make_node("Cast", [f"{axis}_last"], [f"{axis}_last_float"], to=TensorProto.FLOAT),
        helper.make_node("Div", [f"{axis}_first_float", "side"], [f"{axis}_min"]),
        helper.make_node("Div", [f"{axis}_last_float", "side"], [f"{axis}_last_share"]),
        helper.make_node("Add", [f"{axis}_last_share", "zero_one"], [f"{axis}_max"]),
    ]
