"""Owns the weights that a run begins with: those of an earlier stage, or published ones."""

from pathlib import Path

from training.checkpoints.taskformer import load_taskformer
from training.checkpoints.tensors import read_checkpoint
from training.models.taskformer import TaskFormer
from training.text_sketch.pairs import FILE, Words


def words_of_start(path: Path) -> Words | None:
    """The tokenizer beside another run's checkpoint; None beside a published one."""
    if not (path.parent / FILE).exists():
        return None
    return Words.read(path.parent, read_checkpoint(path).get("config", {}).get("tokens", "words"))


def load_start(network: TaskFormer, path: Path) -> None:
    """Take the averaged weights of another run's checkpoint, or the towers of TASK-former's or CLIP's own.

    Published towers come without heads; those begin anew.
    """
    content = read_checkpoint(path)
    if "weights" in content:
        network.load_state_dict(content["weights"])
    else:
        network.load_state_dict(load_taskformer(path).state_dict(), strict=False)
