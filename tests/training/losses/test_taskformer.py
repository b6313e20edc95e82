import pytest
import torch
from torch.nn.functional import cross_entropy

from training.losses.taskformer import (
    TaskFormerWeights,
    asymmetric_loss,
    caption_loss,
    symmetric_contrastive_loss,
    taskformer_loss,
)
from training.models.taskformer import TaskFormer, TaskFormerConfig, fuse

SMALL = TaskFormerConfig(
    dimension=32,
    image_px=32,
    vision_width=64,
    vision_layers=1,
    text_width=64,
    text_layers=1,
    max_tokens=8,
    vocabulary_size=20,
    classes=4,
    decoder_depth=1,
    decoder_heads=1,
)
TOKENS = torch.tensor([[18, 3, 4, 19, 0], [18, 5, 6, 7, 19]])
LABELS = torch.tensor([[1, 0, 0, 1], [0, 1, 0, 0]])


@pytest.fixture
def network() -> TaskFormer:
    torch.manual_seed(3)
    return TaskFormer(SMALL)


def test_the_parts_are_weighted_100_10_1(network: TaskFormer) -> None:
    """Each part beside its own formula."""
    image, sketch = torch.randn(2, 2, 3, 32, 32)
    loss = taskformer_loss(network, image, sketch, TOKENS, LABELS)
    photos, sketches, texts = network(image, sketch, TOKENS)

    torch.testing.assert_close(
        loss.contrastive, symmetric_contrastive_loss(fuse(texts, sketches), photos, network.logit_scale)
    )
    named = [asymmetric_loss(network.classify(part), LABELS) for part in (photos, sketches, texts)]
    torch.testing.assert_close(loss.classes, torch.stack(named).mean())
    torch.testing.assert_close(loss.total, 100 * loss.contrastive + 10 * loss.classes + loss.caption)


def test_each_half_may_be_asked_to_find_the_photo_alone(network: TaskFormer) -> None:
    """The published objective does not ask it; where it counts, sentences and sketches count alike."""
    image, sketch = torch.randn(2, 2, 3, 32, 32)
    loss = taskformer_loss(network, image, sketch, TOKENS, LABELS, weights=TaskFormerWeights(solo=5))
    published = taskformer_loss(network, image, sketch, TOKENS, LABELS)
    photos, sketches, texts = network(image, sketch, TOKENS)

    alone = [symmetric_contrastive_loss(part, photos, network.logit_scale) for part in (texts, sketches)]
    torch.testing.assert_close(loss.solo, torch.stack(alone).mean())
    torch.testing.assert_close(loss.total, published.total + 5 * loss.solo)


def test_padding_costs_nothing() -> None:
    """Four words follow in the second caption, three in the first."""
    logits = torch.randn(2, 4, 20)
    following = TOKENS[:, 1:]
    rows = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (1, 3)]
    expected = torch.stack([cross_entropy(logits[row, at], following[row, at]) for row, at in rows]).mean()

    torch.testing.assert_close(caption_loss(logits, following), expected)


def test_the_caption_teaches_the_images_only(network: TaskFormer) -> None:
    """Its loss sends no gradient into the text tower."""
    weights = TaskFormerWeights(contrastive=0, classes=0)
    image, sketch = torch.randn(2, 2, 3, 32, 32)
    taskformer_loss(network, image, sketch, TOKENS, LABELS, weights=weights).total.backward()  # type: ignore[no-untyped-call]

    assert not network.text_projection.grad.any()
    assert network.visual.proj.grad.any()
    assert network.get_parameter("decoder.net.to_logits.weight").grad.any()
