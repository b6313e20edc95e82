from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.support.clip_towers import image_embedding, text_embedding
from training.checkpoints.taskformer import is_sketch_tower_shared, load_taskformer
from training.checkpoints.tensors import CheckpointError
from training.models.taskformer import TaskFormer, TaskFormerConfig

SMALL = TaskFormerConfig(
    dimension=32,
    image_px=32,
    vision_width=64,
    vision_layers=2,
    text_width=64,
    text_layers=1,
    max_tokens=8,
    vocabulary_size=20,
    classes=4,
    decoder_depth=1,
    decoder_heads=1,
)
IMAGES, TOKENS = torch.randn(2, 3, 32, 32), torch.tensor([[18, 3, 4, 19, 0], [18, 5, 6, 7, 19]])
Tensors = dict[str, Tensor]


def tensors_of(config: TaskFormerConfig) -> Tensors:
    torch.manual_seed(3)
    tensors: Tensors = TaskFormer(config).state_dict()
    return tensors


def clip_only(tensors: Tensors) -> Tensors:
    return {
        name: tensor
        for name, tensor in tensors.items()
        if not name.startswith(("visual2.", "decoder.", "classification_fc_"))
    }


def assert_computes(network: TaskFormer, tensors: Tensors, *, sketches: str = "visual2") -> None:
    with torch.no_grad():
        photos, drawn, texts = network(IMAGES, IMAGES, TOKENS)
    torch.testing.assert_close(photos, image_embedding(tensors, IMAGES), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(drawn, image_embedding(tensors, IMAGES, tower=sketches), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(texts, text_embedding(tensors, TOKENS), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_published_file_loads(tmp_path: Path, prefix: str) -> None:
    """With what training left beside the tensors; the heads are not needed to serve."""
    tensors = tensors_of(SMALL)
    content = {
        "epoch": 10,
        "name": "tsbir",
        "state_dict": {f"{prefix}{name}": value for name, value in tensors.items()},
    }
    torch.save(content, tmp_path / "tsbir_model_final.pt")
    network = load_taskformer(tmp_path / "tsbir_model_final.pt")

    assert network.config == replace(SMALL, has_heads=False)
    assert network.visual2 is network.visual
    assert_computes(network, tensors)


def test_the_heads_load_for_training(tmp_path: Path) -> None:
    """Classifier and decoder come back with their sizes."""
    tensors = tensors_of(SMALL)
    torch.save({"state_dict": tensors}, tmp_path / "model.pt")
    network = load_taskformer(tmp_path / "model.pt", has_heads=True)

    assert network.config == SMALL
    torch.testing.assert_close(
        network.state_dict()["decoder.net.to_logits.bias"], tensors["decoder.net.to_logits.bias"]
    )


def test_a_separate_sketch_tower_is_seen(tmp_path: Path) -> None:
    """One differing weight is enough: sketches then need a graph of their own."""
    tensors = tensors_of(replace(SMALL, is_sketch_tower_shared=False))
    torch.save({"state_dict": tensors}, tmp_path / "model.pt")
    network = load_taskformer(tmp_path / "model.pt")

    assert not is_sketch_tower_shared(tensors)
    assert network.visual2 is not network.visual
    assert_computes(network, tensors)


def test_clip_itself_loads(tmp_path: Path) -> None:
    """In half precision, without a sketch tower, with OpenAI's three numbers beside."""
    tensors = {name: tensor.half() for name, tensor in clip_only(tensors_of(SMALL)).items()}
    sizes = {name: torch.tensor(1) for name in ("input_resolution", "context_length", "vocab_size")}
    torch.save(tensors | sizes, tmp_path / "ViT-B-16.pt")
    network = load_taskformer(tmp_path / "ViT-B-16.pt")

    assert_computes(network, {name: tensor.float() for name, tensor in tensors.items()}, sketches="visual")


def test_safetensors_load(tmp_path: Path) -> None:
    """The form in which hubs hand out CLIP."""
    tensors = clip_only(tensors_of(SMALL))
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, tmp_path / "model.safetensors")

    assert_computes(load_taskformer(tmp_path / "model.safetensors"), tensors, sketches="visual")


@pytest.mark.parametrize(
    ("without", "added", "problem"),
    [
        ("ln_final.bias", None, "1 missing: ln_final.bias"),
        ("visual2.proj", None, "1 missing: visual2.proj"),
        (None, "visual3.proj", "1 extra: visual3.proj"),
        ("visual.conv1.weight", None, "not CLIP's towers"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, without: str | None, added: str | None, problem: str) -> None:
    """The published demo loads anything without a word."""
    tensors = {name: tensor for name, tensor in tensors_of(SMALL).items() if name != without}
    if added:
        tensors[added] = torch.zeros(1)
    torch.save({"state_dict": tensors}, tmp_path / "model.pt")

    with pytest.raises(CheckpointError, match=problem):
        load_taskformer(tmp_path / "model.pt")


def test_heads_that_are_not_there_are_named(tmp_path: Path) -> None:
    """CLIP alone needs allow_incomplete to go on training."""
    torch.save(clip_only(tensors_of(SMALL)), tmp_path / "model.pt")

    with pytest.raises(CheckpointError, match=r"missing: classification_fc_1\.weight"):
        load_taskformer(tmp_path / "model.pt", has_heads=True)


def test_broken_safetensors_are_named(tmp_path: Path) -> None:
    """One sentence with the path."""
    (tmp_path / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{broken}")

    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        load_taskformer(tmp_path / "model.safetensors")
