from dataclasses import replace
from pathlib import Path

import pytest
import torch

from training.models.taskformer import TaskFormer, TaskFormerConfig
from training.text_sketch.pairs import Words
from training.text_sketch.start import load_start, words_of_start

SMALL = TaskFormerConfig(
    dimension=32,
    image_px=32,
    vision_width=64,
    vision_layers=1,
    text_width=64,
    text_layers=1,
    max_tokens=8,
    vocabulary_size=20,
    decoder_depth=1,
    decoder_heads=1,
)


def test_a_stage_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    """All weights are taken, and the tokenizer that they were trained with."""
    torch.manual_seed(1)
    earlier, later = TaskFormer(SMALL), TaskFormer(SMALL)
    torch.save({"weights": earlier.state_dict()}, tmp_path / "checkpoint.pt")
    words = Words.of("words", ["a dog", "a dog", "a dog"], max_tokens=8)
    words.write(tmp_path)

    load_start(later, tmp_path / "checkpoint.pt")

    for name, tensor in earlier.state_dict().items():
        assert torch.equal(tensor, later.state_dict()[name]), name
    found = words_of_start(tmp_path / "checkpoint.pt")
    assert found is not None
    assert found.tokenizer_json == words.tokenizer_json


def test_published_towers_come_without_heads(tmp_path: Path) -> None:
    """CLIP's weights fill the towers; classifier and decoder stay as they were."""
    torch.manual_seed(1)
    clip, network = TaskFormer(replace(SMALL, has_heads=False)), TaskFormer(SMALL)
    torch.save({"state_dict": clip.state_dict()}, tmp_path / "clip.pt")
    head = network.classification_fc_1.weight.clone()

    load_start(network, tmp_path / "clip.pt")

    assert torch.equal(network.visual.proj, clip.visual.proj)
    assert torch.equal(network.classification_fc_1.weight, head)
    assert words_of_start(tmp_path / "clip.pt") is None


def test_towers_of_another_size_are_refused(tmp_path: Path) -> None:
    """Nothing is taken in part."""
    torch.save({"weights": TaskFormer(SMALL).state_dict()}, tmp_path / "checkpoint.pt")
    with pytest.raises(RuntimeError, match="size mismatch"):
        load_start(TaskFormer(replace(SMALL, dimension=64)), tmp_path / "checkpoint.pt")
