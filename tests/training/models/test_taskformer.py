from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.support.clip_towers import image_embedding, text_embedding
from tests.support.onnx_export import run_as_onnx
from training.models.caption_decoder import CaptionDecoder, greedy_caption
from training.models.taskformer import TaskFormer, TaskFormerConfig, fuse
from training.optimiser import OptimiserConfig, averaged

SMALL = TaskFormerConfig(
    dimension=32,
    image_px=32,
    vision_width=128,
    vision_layers=2,
    text_width=64,
    text_layers=2,
    max_tokens=12,
    vocabulary_size=40,
    classes=5,
    decoder_depth=2,
    decoder_heads=1,
)
# Of the second of three tokens, computed by x-transformers 0.20.5 itself.
X_TRANSFORMERS_LOGITS = [3.2667184, 6.7845373, 7.2454629, 4.4336605, -0.3880505, -5.0453706, -7.4331892]
IMAGES = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
TOKENS = torch.tensor([[38, 5, 6, 39, 0, 0], [38, 7, 8, 9, 10, 39], [38, 39, 0, 0, 0, 0]])


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    torch.manual_seed(7)
    with torch.no_grad():
        yield


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def published(**options: Any) -> TaskFormer:
    with torch.device("meta"):
        return TaskFormer(replace(TaskFormerConfig(), **options))


def test_the_backbone_is_clips() -> None:
    """149,620,737 parameters in 302 tensors."""
    network = published(has_heads=False)
    clip = {name: tensor for name, tensor in network.state_dict().items() if not name.startswith("visual2.")}

    assert len(clip) == 302
    assert sum(tensor.numel() for tensor in clip.values()) == parameters(network) == 149_620_737
    assert parameters(network.visual) == 86_192_640
    assert tuple(clip["visual.transformer.resblocks.11.attn.in_proj_weight"].shape) == (2304, 768)


def test_the_whole_network_has_584_tensors() -> None:
    """The shared tower is written twice, and the heads have the published sizes."""
    network = published()

    assert len(network.state_dict()) == 584
    assert parameters(network) == 226_127_707
    assert parameters(network.decoder) == 75_889_408
    assert parameters(network.classification_fc_1) + parameters(network.classification_fc_2) == 617_562
    assert len(network.decoder.state_dict()) == 126
    assert sum(name.startswith("visual2.") for name in network.state_dict()) == 152


def test_a_tower_of_its_own_is_counted() -> None:
    """Without sharing, sketches have 86,192,640 parameters of their own under the same names."""
    network = published(is_sketch_tower_shared=False)

    assert len(network.state_dict()) == 584
    assert parameters(network) == 226_127_707 + 86_192_640


@pytest.mark.parametrize("is_shared", [True, False])
def test_towers_compute_the_published_formulas(is_shared: bool) -> None:  # noqa: FBT001  # the case itself
    """QuickGELU, masks, pooling and projection, beside an independent computation."""
    network = TaskFormer(replace(SMALL, is_sketch_tower_shared=is_shared)).eval()
    tensors = network.state_dict()
    photos, sketches, texts = network(IMAGES, IMAGES, TOKENS)

    torch.testing.assert_close(photos, image_embedding(tensors, IMAGES), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(sketches, image_embedding(tensors, IMAGES, tower="visual2"), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(texts, text_embedding(tensors, TOKENS), rtol=1e-4, atol=1e-5)
    assert torch.equal(photos, sketches) == is_shared


def test_a_caption_is_the_same_in_any_batch() -> None:
    """Neither padding nor neighbours are read."""
    network = TaskFormer(SMALL).eval()
    together = network.embed_text(TOKENS)

    torch.testing.assert_close(network.embed_text(nn.functional.pad(TOKENS, (0, 6))), together)
    torch.testing.assert_close(network.embed_text(TOKENS[:1, :4]), together[:1])


def test_the_first_end_counts() -> None:
    """Whatever follows it, another end included."""
    network = TaskFormer(SMALL).eval()

    torch.testing.assert_close(
        network.embed_text(torch.tensor([[38, 5, 39, 7, 39]])), network.embed_text(torch.tensor([[38, 5, 39]]))
    )


def test_a_query_lies_between_its_halves() -> None:
    """Both count alike, whatever their lengths were; the query has unit length."""
    query = fuse(torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 0.1]]))

    torch.testing.assert_close(query, torch.tensor([[0.5**0.5, 0.5**0.5]]))


def test_both_towers_export() -> None:
    """ONNX Runtime and torch agree for batches and lengths that the export never saw."""
    network = TaskFormer(SMALL).eval()
    (photos,) = run_as_onnx(network.embed_image, {"image": IMAGES[:2]}, {"image": IMAGES})
    (texts,) = run_as_onnx(network.embed_text, {"tokens": TOKENS[:2, :5]}, {"tokens": TOKENS}, dynamic_axes=(0, 1))

    np.testing.assert_allclose(photos, network.embed_image(IMAGES), atol=1e-5)
    np.testing.assert_allclose(texts, network.embed_text(TOKENS), atol=1e-5)


def test_the_decoder_sees_only_what_came_before() -> None:
    """A later word changes no earlier logit; the context changes all of them."""
    decoder = CaptionDecoder(tokens=40, max_tokens=8, width=32, depth=2, heads=1).eval()
    tokens, context = torch.randint(0, 40, (1, 6)), torch.randn(1, 32)
    logits = decoder(tokens, context)
    changed = tokens.clone()
    changed[0, 4] = (changed[0, 4] + 1) % 40

    torch.testing.assert_close(decoder(changed, context)[:, :4], logits[:, :4])
    assert not torch.allclose(decoder(changed, context)[:, 4:], logits[:, 4:])
    assert not torch.allclose(decoder(tokens, context + 1)[:, 0], logits[:, 0])


def test_the_decoder_computes_what_x_transformers_did() -> None:
    """Logits of x-transformers 0.20.5 for weights made by a formula, noted once."""
    decoder = CaptionDecoder(tokens=7, max_tokens=5, width=8, depth=1, heads=2).eval()
    for number, parameter in enumerate(decoder.parameters()):
        parameter.copy_(torch.sin(torch.arange(parameter.numel()) * 0.7 + number).reshape(parameter.shape))
    logits = decoder(torch.tensor([[1, 5, 2]]), torch.linspace(-1, 1, 8)[None])

    torch.testing.assert_close(logits[0, 1], torch.tensor(X_TRANSFORMERS_LOGITS), rtol=1e-4, atol=1e-4)


def test_captions_end() -> None:
    """Writing stops at the end token or at the most tokens."""
    decoder = CaptionDecoder(tokens=40, max_tokens=8, width=32, depth=1, heads=1).eval()
    decoder.net.to_logits.bias[39] = 1e4

    assert greedy_caption(decoder, torch.randn(32), start=38, end=39, max_tokens=8).tolist() == [38, 39]
    decoder.net.to_logits.bias[3] = 1e5
    assert greedy_caption(decoder, torch.randn(32), start=38, end=39, max_tokens=8).tolist() == [38] + [3] * 7


def test_the_layout_tower_tells_left_from_right() -> None:
    """It stands in the place of CLIP's for photos and sketches, and a mirrored image has another embedding."""
    network = TaskFormer(replace(SMALL, image_tower="layout", layout_widths=(8, 8, 16), layout_cell_width=4)).eval()
    photos, sketches, texts = network(IMAGES, IMAGES, TOKENS)
    (exported,) = run_as_onnx(network.embed_image, {"image": IMAGES[:2]}, {"image": IMAGES})

    assert photos.shape == texts.shape == (3, 32)
    assert torch.equal(photos, sketches)
    assert not torch.allclose(network.embed_image(IMAGES.flip(3)), photos)
    np.testing.assert_allclose(exported, photos, atol=1e-5)


def test_the_causal_mask_may_be_averaged() -> None:
    """A moving average of the network answers as the network does: no buffer of it is infinite."""
    network = TaskFormer(SMALL).eval()
    average = averaged(network, OptimiserConfig(1, 1, 0.0, 0.0, average_decay=0.5))
    for _ in range(3):
        average.update_parameters(network)

    (_, _, texts) = average.module(IMAGES, IMAGES, TOKENS)
    torch.testing.assert_close(texts, network.embed_text(TOKENS))


def test_the_phrase_tower_reads_no_padding() -> None:
    """A caption is the same in any batch, on its own and in the exported graph; the order of its words counts."""
    network = TaskFormer(replace(SMALL, text_tower="phrases", text_width=16)).eval()
    together = network.embed_text(TOKENS)
    (exported,) = run_as_onnx(network.embed_text, {"tokens": TOKENS[:2, :5]}, {"tokens": TOKENS}, dynamic_axes=(0, 1))

    assert together.shape == (3, 32)
    torch.testing.assert_close(network.embed_text(nn.functional.pad(TOKENS, (0, 6))), together)
    torch.testing.assert_close(network.embed_text(TOKENS[:1, :4]), together[:1])
    assert not torch.allclose(network.embed_text(TOKENS[1:2, [0, 2, 1, 3, 4, 5]]), together[1:2])
    np.testing.assert_allclose(exported, together, atol=1e-5)
