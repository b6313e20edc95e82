"""Image networks of transformers with random weights: their tokens and maps pooled as the spec says."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import (
    ConvNextConfig,
    ConvNextModel,
    Dinov2Config,
    Dinov2Model,
    DINOv3ViTConfig,
    DINOv3ViTModel,
    ViTConfig,
    ViTModel,
)

from encoders.importers.onnx.embedder import import_onnx
from encoders.importers.onnx.spec import ImageSpec
from encoders.serving.providers import SessionOptions
from encoders.serving.session import EmbeddingSession

# The shape of pedestrians' networks, three times as high as wide.
SIZE = (32, 96)
IMAGES = np.random.default_rng(4).integers(0, 256, (4, SIZE[1], SIZE[0], 3), dtype=np.uint8)
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
HIDDEN = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Case:
    """A network, which of its outputs is used, and how torch pools it."""

    network: Callable[[], nn.Module]
    output: str
    spec: Mapping[str, Any]
    pool: Callable[[Tensor], Tensor]


def vit() -> Any:
    return ViTModel(ViTConfig(image_size=(96, 32), patch_size=16, attn_implementation="eager", **HIDDEN))


def dinov2() -> Any:
    return Dinov2Model(Dinov2Config(image_size=64, patch_size=16, attn_implementation="eager", **HIDDEN))


def dinov3() -> Any:
    config = DINOv3ViTConfig(image_size=64, patch_size=16, num_register_tokens=4, attn_implementation="eager", **HIDDEN)
    return DINOv3ViTModel(config)


def convnext() -> Any:
    return ConvNextModel(ConvNextConfig(depths=[1, 1, 1, 1], hidden_sizes=[8, 16, 24, 32]))


def first(tokens: Tensor) -> Tensor:
    return tokens[:, 0]


CASES = {
    "vit's class token": Case(vit, "last_hidden_state", {"pooling": "cls"}, first),
    "vit's mean": Case(vit, "last_hidden_state", {"pooling": "mean"}, lambda tokens: tokens.mean(1)),
    "dinov2's class token": Case(dinov2, "last_hidden_state", {"pooling": "cls"}, first),
    "dinov2's patches": Case(
        dinov2, "last_hidden_state", {"pooling": "mean", "skip_tokens": 1}, lambda tokens: tokens[:, 1:].mean(1)
    ),
    "dinov3's patches": Case(
        dinov3, "last_hidden_state", {"pooling": "mean", "skip_tokens": 5}, lambda tokens: tokens[:, 5:].mean(1)
    ),
    "dinov3's largest": Case(
        dinov3, "last_hidden_state", {"pooling": "max", "skip_tokens": 5}, lambda tokens: tokens[:, 5:].amax(1)
    ),
    "convnext's map": Case(convnext, "last_hidden_state", {"pooling": "mean"}, lambda tokens: tokens.mean((2, 3))),
    "convnext's pooled output": Case(convnext, "pooler_output", {}, lambda pooled: pooled),
}


def exported(case: Case, path: Path) -> nn.Module:
    """Write the network with both of its outputs."""
    torch.manual_seed(3)
    network = case.network().eval()
    for parameter in network.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.1)
    with warnings.catch_warnings(action="ignore"):
        torch.onnx.export(
            network,
            (torch.rand(2, 3, SIZE[1], SIZE[0]),),
            path,
            dynamo=False,
            opset_version=17,
            input_names=["pixel_values"],
            output_names=["last_hidden_state", "pooler_output"],
            dynamic_axes={"pixel_values": {0: "batch"}},
        )
    return network


def expected(case: Case, network: nn.Module) -> NDArray[np.float32]:
    pixels = torch.from_numpy(IMAGES).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    with torch.inference_mode():
        output = getattr(network((pixels - mean) / std), case.output)
        unit: NDArray[np.float32] = nn.functional.normalize(case.pool(output), dim=1).numpy()
    return unit


@pytest.mark.parametrize("name", CASES)
def test_features_are_pooled_as_by_torch(tmp_path: Path, name: str) -> None:
    """Networks that are not square and end in tokens or a map embed as torch does, and nearly so in half precision."""
    case = CASES[name]
    network = exported(case, tmp_path / "a.onnx")
    spec = ImageSpec.of(
        {"size": list(SIZE), "scale": 1 / 255, "mean": MEAN, "std": STD, "output": case.output, **case.spec}
    )

    bundle = import_onnx(tmp_path / "a.onnx", name="a", spec=spec, out=tmp_path / "models", fp16=True)

    found = {
        precision: np.stack(
            [np.asarray(result) for result in EmbeddingSession(bundle, options).run(list(IMAGES)).results]
        )
        for precision, options in ((precision, SessionOptions(precision=precision)) for precision in bundle.precisions)
    }
    np.testing.assert_allclose(found["fp32"], expected(case, network), atol=TOLERANCE)
    assert (found["fp16"] * found["fp32"]).sum(axis=1).min() > 0.998
