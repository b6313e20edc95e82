from pathlib import Path

import pytest
import torch
from torch import Tensor

from training.checkpoints.compcars import load_compcars
from training.checkpoints.tensors import CheckpointError
from training.models.compcars import CompCars, CompCarsConfig, Pooling

IMAGES = torch.rand(2, 3, 64, 64)
CLASSIFIER = {"resnet.fc.weight": torch.zeros(1000, 512), "resnet.fc.bias": torch.zeros(1000)}


@pytest.fixture(scope="module")
def network() -> CompCars:
    torch.manual_seed(5)
    return CompCars(CompCarsConfig("resnet18", "attention", classes=9)).eval()


def published(network: CompCars) -> dict[str, Tensor]:
    return network.state_dict() | CLASSIFIER


def first_revision(network: CompCars) -> dict[str, Tensor]:
    """Files of April 2022 know neither attention nor classes."""
    return {name: value for name, value in published(network).items() if not name.startswith(("sa.", "fc1."))}


@pytest.mark.parametrize("pooling", ["power", "attention"])
@pytest.mark.parametrize("is_two_scale", [False, True])
def test_new_files_load(network: CompCars, tmp_path: Path, pooling: Pooling, is_two_scale: bool) -> None:  # noqa: FBT001  # the case itself
    """However the network is to be asked."""
    torch.save(published(network), tmp_path / "model.ep18")
    loaded = load_compcars(tmp_path / "model.ep18", pooling=pooling, is_two_scale=is_two_scale)
    expected = CompCars(CompCarsConfig("resnet18", pooling, is_two_scale, 9)).eval()
    expected.load_state_dict(network.state_dict(), strict=False)

    assert loaded.config == expected.config
    with torch.no_grad():
        torch.testing.assert_close(loaded(IMAGES), expected(IMAGES))


def test_old_files_load(network: CompCars, tmp_path: Path) -> None:
    """Without classifier; the embedding is the same."""
    torch.save(first_revision(network), tmp_path / "model.ep2")
    torch.save(published(network), tmp_path / "model.ep18")
    old, new = load_compcars(tmp_path / "model.ep2"), load_compcars(tmp_path / "model.ep18")

    assert old.config.classes == 0
    with torch.no_grad():
        torch.testing.assert_close(old(IMAGES), new(IMAGES))


def test_resnet50_is_recognised(tmp_path: Path) -> None:
    """By the third convolution of its blocks."""
    torch.save(CompCars(CompCarsConfig()).state_dict(), tmp_path / "model.ep1")

    assert load_compcars(tmp_path / "model.ep1").config == CompCarsConfig()


def test_attention_cannot_be_asked_of_old_files(network: CompCars, tmp_path: Path) -> None:
    """The published loader leaves it random."""
    torch.save(first_revision(network), tmp_path / "model.ep2")

    with pytest.raises(CheckpointError, match=r"2 missing: sa\.conv\.weight, sa\.conv\.bias"):
        load_compcars(tmp_path / "model.ep2", pooling="attention")


def test_what_does_not_fit_is_named(network: CompCars, tmp_path: Path) -> None:
    """With the file."""
    tensors = published(network) | {"gem_proj.weight": torch.zeros(3, 3), "head.weight": torch.zeros(1)}
    torch.save(tensors, tmp_path / "model.ep3")

    with pytest.raises(CheckpointError, match=r"model\.ep3: .*1 extra: head\.weight; 1 misshapen: gem_proj\.weight"):
        load_compcars(tmp_path / "model.ep3")


def test_a_power_below_zero_is_refused(network: CompCars, tmp_path: Path) -> None:
    """It would divide by zero wherever a channel saw nothing."""
    torch.save(published(network) | {"p": torch.tensor([-1.0])}, tmp_path / "model.ep3")

    with pytest.raises(CheckpointError, match="power p is -1"):
        load_compcars(tmp_path / "model.ep3")
