"""A few drawn images in the layout of the real photos, and a teacher that knows only their mean colour."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from PIL import Image

from training.general.crops import drawn_crops


def write_small_realdata(folder: Path) -> Path:
    """Write `grocery/`, `clothing/` and `bundles/` with 24 images in all."""
    crops = drawn_crops(24, seed=5)
    for split, part in (("train", crops[:8]), ("val", crops[8:16])):
        _write_grocery(folder / "grocery", split, [crop.image for crop in part])
    for number, crop in enumerate(crops[16:]):
        path = folder / "clothing" / "train" / ("hat", "shoes")[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        crop.image.save(path)
    (folder / "bundles").mkdir()
    onnx.save(_mean_colour(), folder / "bundles" / "mobilenet_v2_imagenet.onnx")
    return folder


def _write_grocery(folder: Path, split: str, images: Sequence[Image.Image]) -> None:
    (folder / split).mkdir(parents=True)
    lines = []
    for number, image in enumerate(images):
        image.save(folder / split / f"{number}.jpg")
        lines.append(f"{split}/{number}.jpg, {number // 2}, {number // 4}")
    (folder / f"{split}.txt").write_text("\n".join(lines), encoding="utf-8")


def _mean_colour() -> onnx.ModelProto:
    weights = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["image"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["mean"]),
            helper.make_node("MatMul", ["mean", "weights"], ["embedding"]),
        ],
        "teacher",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 224, 224])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", 8])],
        [helper.make_tensor("weights", TensorProto.FLOAT, weights.shape, weights.ravel())],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
