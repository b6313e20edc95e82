from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from training.checkpoints.dcmpl import load_dcmpl, load_image_backbone
from training.checkpoints.tensors import CheckpointError
from training.models.dcmpl import Dcmpl, DcmplConfig

SMALL = DcmplConfig(vocabulary_size=30, word_dimension=8, hidden=6, dimension=5, width=0.125)
IMAGES, TOKENS, LENGTHS = torch.rand(2, 3, 64, 64), torch.tensor([[1, 2, 3], [4, 0, 0]]), torch.tensor([3, 1])
Tensors = dict[str, Tensor]


@pytest.fixture
def network() -> Dcmpl:
    torch.manual_seed(5)
    return Dcmpl(SMALL).eval()


def prefixed(tensors: Tensors) -> Tensors:
    return {f"module.{name}": tensor for name, tensor in tensors.items()}


def published(network: nn.Module, **more: Any) -> dict[str, Any]:
    """Everything that the published training writes beside the network."""
    optimiser = torch.optim.Adam(network.parameters())
    weight = nn.Parameter(torch.rand(5, 11))
    return {
        "network": prefixed(network.state_dict()),
        "optimizer": optimiser.state_dict(),
        "W": weight,
        "epoch": 99,
        **more,
    }


def assert_same(first: Dcmpl, second: Dcmpl) -> None:
    with torch.inference_mode():
        for mine, theirs in zip(first(IMAGES, TOKENS, LENGTHS), second(IMAGES, TOKENS, LENGTHS), strict=True):
            torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize(
    "wrap",
    [
        published,
        lambda network: {"network": network.state_dict()},
        lambda network: network.state_dict(),
        lambda network: prefixed(network.state_dict()),
    ],
    ids=["published", "without the prefix", "bare", "bare with the prefix"],
)
def test_every_wrapping_loads(network: Dcmpl, tmp_path: Path, wrap: Callable[[nn.Module], dict[str, Any]]) -> None:
    """The network comes back with its sizes, whatever lies around it."""
    torch.save(wrap(network), tmp_path / "99.pth.tar")
    loaded = load_dcmpl(tmp_path / "99.pth.tar")

    assert loaded.config == SMALL
    assert_same(loaded, network)


def test_averaged_weights_win(network: Dcmpl, tmp_path: Path) -> None:
    """The averages hold parameters only; running statistics stay the network's."""
    average = {name: parameter.detach() * 0.5 for name, parameter in network.named_parameters()}
    torch.save(published(network, network_ema=prefixed(average)), tmp_path / "99.pth.tar")
    loaded, plain = load_dcmpl(tmp_path / "99.pth.tar"), load_dcmpl(tmp_path / "99.pth.tar", averaged=False)

    assert_same(plain, network)
    network.load_state_dict(network.state_dict() | average)
    assert_same(loaded, network)


def test_a_resnet_is_recognised(tmp_path: Path) -> None:
    """Its names are torchvision's, with the classifier that nothing reads."""
    config = DcmplConfig("resnet50", vocabulary_size=30, word_dimension=8, hidden=6, dimension=5)
    network = Dcmpl(config).eval()
    classifier = {"image_model.fc.weight": torch.rand(1000, 2048), "image_model.fc.bias": torch.rand(1000)}
    torch.save({"network": prefixed(network.state_dict() | classifier)}, tmp_path / "1.pth.tar")

    assert load_dcmpl(tmp_path / "1.pth.tar").config == config


def test_old_files_have_no_counters(network: Dcmpl, tmp_path: Path) -> None:
    """Versions of torch before 0.4.1 wrote no `num_batches_tracked`."""
    tensors = {name: tensor for name, tensor in network.state_dict().items() if "num_batches" not in name}
    torch.save({"network": tensors}, tmp_path / "1.pth.tar")

    assert_same(load_dcmpl(tmp_path / "1.pth.tar"), network)


def test_what_does_not_fit_is_named(network: Dcmpl, tmp_path: Path) -> None:
    """Missing, extra and misshapen keys in one message, with the file."""
    tensors = network.state_dict()
    del tensors["conv_text.bias"]
    tensors["conv_audio.weight"] = torch.zeros(1)
    tensors["bilstm.bilstm.1.weight_ih_l0"] = torch.zeros(2, 2)
    torch.save({"network": prefixed(tensors)}, tmp_path / "1.pth.tar")

    with pytest.raises(CheckpointError) as error:
        load_dcmpl(tmp_path / "1.pth.tar")
    assert "1.pth.tar" in str(error.value)
    assert "1 missing: conv_text.bias" in str(error.value)
    assert "1 extra: conv_audio.weight" in str(error.value)
    assert "1 misshapen: bilstm.bilstm.1.weight_ih_l0 (2, 2) instead of (24, 8)" in str(error.value)


def test_a_file_without_text_branch_says_so(tmp_path: Path) -> None:
    """Such as the ImageNet backbone, which people mistake for the trained network."""
    torch.save({"state_dict": {"module.model.0.0.weight": torch.zeros(1)}}, tmp_path / "mobilenet.tar")

    with pytest.raises(CheckpointError, match="not a pedestrian checkpoint"):
        load_dcmpl(tmp_path / "mobilenet.tar")


def test_nothing_in_a_file_runs(tmp_path: Path) -> None:
    """A checkpoint with an object in it is refused before the object is made."""
    torch.save({"network": Trap(tmp_path / "ran")}, tmp_path / "1.pth.tar")

    with pytest.raises(CheckpointError, match="tensors and plain values"):
        load_dcmpl(tmp_path / "1.pth.tar")
    assert not (tmp_path / "ran").exists()


class Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"hello world", b"PK\x03\x04 cut short"])
def test_a_broken_file_is_named(tmp_path: Path, content: bytes) -> None:
    """Whatever torch says, the message is one sentence with the path."""
    (tmp_path / "1.pth.tar").write_bytes(content)

    with pytest.raises(CheckpointError, match=r"1\.pth\.tar"):
        load_dcmpl(tmp_path / "1.pth.tar")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_dcmpl(tmp_path / "2.pth.tar")


def test_the_image_branch_starts_from_imagenet(network: Dcmpl, tmp_path: Path) -> None:
    """`mobilenet.tar` names its tensors `module.model.*` and brings a classifier along."""
    other = Dcmpl(SMALL).eval()
    tensors = other.image_model.state_dict() | {"fc.weight": torch.zeros(1000, 128), "fc.bias": torch.zeros(1000)}
    torch.save({"state_dict": prefixed(tensors), "epoch": 3}, tmp_path / "mobilenet.tar")
    load_image_backbone(network, tmp_path / "mobilenet.tar")

    torch.testing.assert_close(network.image_model(IMAGES), other.image_model(IMAGES))
