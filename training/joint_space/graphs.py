"""Owns the towers as ONNX files: published graphs, and between them what this package computes."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper
from torch import nn

from encoders.bundle import Bundle
from training.joint_space.colours import EXAMPLES, ColourWords
from training.joint_space.config import JointSpaceConfig
from training.joint_space.image_tower import Backbones, Fitted, ThreeBlocks
from training.joint_space.sketch_tower import DRAWING_PX, DrawingMeaning, Strokes
from training.joint_space.text_tower import SentenceBlocks, SentenceInputs
from training.joint_space.weights import Weights
from training.models.served import Inputs
from training.onnx_graph import write_onnx
from training.onnx_join import Part, join

# Examples for the exporter; a free size in them is any number that is not 1.
_COUNT, _TOKENS, _WIDTH, _BOXES = 2, 5, 384, 7


@dataclass(frozen=True, slots=True)
class Parts:
    """What the towers are made of: published networks, the content network's bundle, and the fitted head."""

    weights: Weights
    backbones: Backbones
    content: Bundle
    fitted: Fitted


def write_image_tower(config: JointSpaceConfig, parts: Parts, detector: Bundle, path: Path) -> None:
    """`image` uint8 (N, S, S, 3) to `embedding`; the detector's scores are tags of the whole image."""
    fitted, content = parts.fitted, parts.content
    image = np.zeros((_COUNT, config.image_px, config.image_px, 3), np.uint8)
    seen = _exported(parts.backbones, {"image": image}, ["small", "features", "logits", "colours"])
    head_inputs = {
        "features": np.zeros((_COUNT, fitted.looks.shape[0]), np.float32),
        "logits": np.zeros((_COUNT, len(fitted.labels.classifier)), np.float32),
        "colours": np.zeros((_COUNT, len(EXAMPLES)), np.float32),
        "content": np.zeros((_COUNT, content.dimension), np.float32),
        "scores": np.zeros((_COUNT, _BOXES, len(fitted.labels.tags)), np.float32),
    }
    head = _exported(ThreeBlocks(config, fitted), head_inputs, ["embedding"])
    join(
        [
            Part("seen", seen, {"image": "image"}),
            Part("content", onnx.load(content.path_of("fp32")), {"image": "seen/small"}),
            Part("tags", onnx.load(detector.path_of("fp32")), {"image": "image"}),
            Part(
                "head",
                head,
                {
                    "features": "seen/features",
                    "logits": "seen/logits",
                    "colours": "seen/colours",
                    "content": "content/embedding",
                    "scores": "tags/scores",
                },
            ),
        ],
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", config.image_px, config.image_px, 3])],
        {"embedding": ("head/embedding", config.dimension)},
        path,
    )


def write_text_tower(config: JointSpaceConfig, parts: Parts, path: Path) -> None:
    """`tokens` int64 (N, T) and `lengths` int64 (N,) to `embedding`."""
    tokens, lengths = np.ones((_COUNT, _TOKENS), np.int64), np.array([_TOKENS, 2], np.int64)
    names = ["input_ids", "attention_mask", "token_type_ids"]
    before = _exported(SentenceInputs(parts.weights.tokenizer), {"tokens": tokens, "lengths": lengths}, names)
    blocks = SentenceBlocks(config, parts.fitted.labels, ColourWords(parts.weights.tokenizer))
    hidden: Inputs = {
        "hidden": np.zeros((_COUNT, _TOKENS + 3, _WIDTH), np.float32),
        "attention": np.ones((_COUNT, _TOKENS + 3), np.int64),
        "tokens": tokens,
        "lengths": lengths,
    }
    after = _exported(blocks, hidden, ["embedding"])
    join(
        [
            Part("before", before, {"tokens": "tokens", "lengths": "lengths"}),
            Part("sentence", onnx.load(parts.weights.sentences), {name: f"before/{name}" for name in names}),
            Part(
                "after",
                after,
                {
                    "hidden": "sentence/last_hidden_state",
                    "attention": "before/attention_mask",
                    "tokens": "tokens",
                    "lengths": "lengths",
                },
            ),
        ],
        [
            helper.make_tensor_value_info("tokens", TensorProto.INT64, ["N", "T"]),
            helper.make_tensor_value_info("lengths", TensorProto.INT64, ["N"]),
        ],
        {"embedding": ("after/embedding", config.dimension)},
        path,
    )


def write_sketch_tower(config: JointSpaceConfig, parts: Parts, path: Path) -> None:
    """`image` uint8 (N, S, S, 3), dark on light, to `embedding`."""
    labels = parts.fitted.labels
    image = np.full((_COUNT, config.sketch_px, config.sketch_px, 3), 255, np.uint8)
    strokes = _exported(Strokes(), {"image": image}, ["drawing"])
    probabilities = np.zeros((_COUNT, len(labels.drawings)), np.float32)
    meaning = _exported(DrawingMeaning(config, labels), {"probabilities": probabilities}, ["embedding"])
    classifier = onnx.load(parts.weights.drawings)
    assert classifier.graph.input[0].type.tensor_type.shape.dim[2].dim_value == DRAWING_PX, "another classifier"
    join(
        [
            Part("strokes", strokes, {"image": "image"}),
            Part("drawing", classifier, {"image": "strokes/drawing"}),
            Part("meaning", meaning, {"probabilities": "drawing/output"}),
        ],
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", config.sketch_px, config.sketch_px, 3])],
        {"embedding": ("meaning/embedding", config.dimension)},
        path,
    )


def _exported(network: nn.Module, inputs: Inputs, outputs: Sequence[str]) -> ModelProto:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "part.onnx"
        write_onnx(network, inputs, outputs, path, sequences=("tokens", "hidden", "attention"))
        return onnx.load(path)
