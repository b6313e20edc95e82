"""The image tower: published networks, joined in one graph, and an embedding of three blocks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

from encoders.bundle import Bundle
from training.config import read_config
from training.joint_space.colours import UsualColours
from training.joint_space.config import JointSpaceConfig
from training.joint_space.graphs import Parts, write_image_tower
from training.joint_space.image_tower import Backbones, Fitted, Resample, ThreeBlocks
from training.joint_space.labels import LabelEmbeddings
from training.joint_space.own_classes import fit_own_classes
from training.joint_space.sentences import unit
from training.joint_space.weights import Weights
from training.models.efficientnet_lite import EfficientNetLite
from training.runner import CONFIGS

MODELS = Path(__file__).parents[3] / "models"
TAGS = 13


@pytest.fixture(scope="module")
def config() -> JointSpaceConfig:
    """The shipped one, for images as large as the drawn detector reads."""
    return replace(read_config(CONFIGS / "joint_space.toml", JointSpaceConfig), image_px=256)


@pytest.fixture(scope="module")
def fitted(config: JointSpaceConfig) -> Fitted:
    """A head of random numbers, in the shapes of the real one."""
    rng = np.random.default_rng(5)

    def rows(count: int, width: int) -> np.ndarray:
        return unit(rng.standard_normal((count, width)))

    width = config.meaning.dimension
    features = rows(60, 1280 + 320)
    return Fitted(
        looks=rows(1280, config.looks.classifier_dimension),
        content=rows(320, config.looks.content_dimension),
        labels=LabelEmbeddings(
            rows(1000, width), rows(TAGS, width), rows(6, width), rows(345, width), rows(1, 384)[0], rows(384, width)
        ),
        own=fit_own_classes(features, [row % 6 for row in range(60)], 6),
        colours=UsualColours(np.full(11, 1 / 11, np.float32), np.full(11, 0.1, np.float32)),
    )


@pytest.mark.parametrize(("from_px", "to_px"), [(320, 260), (320, 144), (64, 100)])
def test_resampling_is_that_of_pillow(from_px: int, to_px: int) -> None:
    """What the graph resizes looks as if Pillow had resized it, up to its rounding."""
    pixels = np.random.default_rng(1).integers(0, 256, (from_px, from_px, 3), np.uint8)
    expected = np.asarray(Image.fromarray(pixels).resize((to_px, to_px), Image.Resampling.BILINEAR), np.float32)

    resized = Resample(from_px, to_px)(torch.from_numpy(pixels).permute(2, 0, 1)[None].float())

    assert np.abs(resized[0].permute(1, 2, 0).numpy() - expected).max() < 1.5


def test_a_photo_far_from_the_own_classes_is_none_of_them(config: JointSpaceConfig, fitted: Fitted) -> None:
    """Own classes do not describe what they never saw, and describe what they did."""
    head = ThreeBlocks(config, fitted)
    logits, scores = torch.zeros(1, 1000), torch.zeros(1, 4, TAGS)
    scores[..., 2] = 1
    near = torch.from_numpy(fitted.own.prototypes[:1].copy())
    far = -near

    def own_part(joined: torch.Tensor) -> float:
        meaning = head.meaning(joined[:, :1280], logits, joined[:, 1280:] / config.looks.content_weight, scores)
        return float((meaning @ torch.from_numpy(fitted.labels.own).T).amax())

    assert own_part(near) > 0.5 > own_part(far)


def test_the_graph_says_what_its_parts_say(config: JointSpaceConfig, fitted: Fitted, tmp_path: Path) -> None:
    """The joined file gives the embedding that the parts give one after the other, of unit length."""
    torch.manual_seed(3)
    backbones = Backbones(EfficientNetLite(width=1.1, depth=1.2).eval(), config.image_px).eval()
    content, detector = Bundle.load(MODELS / "general-2"), Bundle.load(MODELS / "drawn-detector")
    absent = Weights(*[Path()] * 9)
    path = tmp_path / "tower.onnx"
    write_image_tower(config, Parts(absent, backbones, content, fitted), detector, path)
    image = np.random.default_rng(2).integers(0, 256, (3, config.image_px, config.image_px, 3), np.uint8)

    (found,) = onnxruntime.InferenceSession(path).run(["embedding"], {"image": image})

    with torch.inference_mode():
        small, features, logits, colours = backbones(torch.from_numpy(image))
    (embedded,) = onnxruntime.InferenceSession(content.path_of("fp32")).run(["embedding"], {"image": small.numpy()})
    (scores,) = onnxruntime.InferenceSession(detector.path_of("fp32")).run(["scores"], {"image": image})
    expected = ThreeBlocks(config, fitted)(
        features, logits, colours, torch.from_numpy(embedded), torch.from_numpy(scores)
    ).numpy()
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert ((found * expected).sum(axis=1) > 0.9999).all()
