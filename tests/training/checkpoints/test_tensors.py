from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch

from training.checkpoints.tensors import CheckpointError, read_checkpoint


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
        ({"state_dict": {"weight": torch.ones(2)}, "args": Namespace(lr=1)}, "argparse.Namespace"),
        ({"path": Path("here")}, "pathlib"),
    ],
)
@pytest.mark.parametrize("is_zip", [True, False])
def test_foreign_class_is_named_in_one_line(tmp_path: Path, content: Any, name: str, *, is_zip: bool) -> None:
    """What keeps a checkpoint from being read is the class that it asks for, not torch's advice to run the file."""
    torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=is_zip)

    with pytest.raises(CheckpointError) as raised:
        read_checkpoint(tmp_path / "a.pt")

    assert f"holds an object of {name}" in str(raised.value)
    assert "state_dict()" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_half_a_checkpoint_is_called_so(tmp_path: Path) -> None:
    """A download that stopped is not taken for a foreign file."""
    torch.save({"weight": torch.ones(1000)}, tmp_path / "a.pt")
    whole = (tmp_path / "a.pt").read_bytes()
    (tmp_path / "a.pt").write_bytes(whole[: len(whole) // 2])

    with pytest.raises(CheckpointError, match="cut short or damaged: fetch the file again"):
        read_checkpoint(tmp_path / "a.pt")
