from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor

from encoders.importers.darknet.cfg import parse_cfg, read_cfg
from encoders.importers.darknet.graph import build_graph
from encoders.importers.darknet.weights import float_count, read_weights
from tests.support.darknet import write_network
from tests.support.onnx_export import run_as_onnx
from training.checkpoints.darknet import load_darknet, save_darknet
from training.checkpoints.tensors import CheckpointError
from training.losses.yolo import yolo_loss
from training.models.yolo import YoloNetwork

REALDATA = Path(__file__).parents[4] / "shared" / "realdata" / "detector"
CFG = """
[net]
width=32
height=32
channels=3

[convolutional]
batch_normalize=1
filters=8
size=3
stride=2
pad=1
activation=leaky

[convolutional]
filters=8
size=3
pad=1
groups=2
activation=mish

[shortcut]
from=-2
activation=linear

[maxpool]
size=2
stride=2

[maxpool]
size=2
stride=1

[convolutional]
batch_normalize=1
filters=16
size=1
activation=swish

[convolutional]
filters=14
size=1
activation=linear

[yolo]
mask=2,3
anchors=2,3, 4,5, 8,9, 12,6
classes=2
scale_x_y=1.1

[route]
layers=-3

[upsample]
stride=2

[route]
layers=-1,2

[route]
layers=-1
groups=2
group_id=1

[convolutional]
filters=14
size=1
activation=linear

[yolo]
mask=0,1
anchors=2,3, 4,5, 8,9, 12,6
classes=2
"""
IMAGES = torch.from_numpy(np.random.default_rng(3).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8))
TRUTHS = [torch.tensor([[1, 0.1, 0.2, 0.6, 0.7], [0, 0.5, 0.5, 0.6, 0.7]]), torch.zeros(0, 5)]


def channels_first(images: Tensor) -> Tensor:
    return images.permute(0, 3, 1, 2).float()


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return write_network(tmp_path, CFG)[1]


@pytest.fixture
def network(weights: Path) -> YoloNetwork:
    built = YoloNetwork(parse_cfg(CFG))
    load_darknet(built, weights)
    return built.eval()


def test_the_network_is_the_imported_graph(network: YoloNetwork, weights: Path) -> None:
    """What is trained gives what the importer's own ONNX graph of the same file gives, layer kinds and all."""
    graph = build_graph(network.network, read_weights(weights, network.network))
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = session.run(["boxes", "scores"], {"image": IMAGES.numpy()})
    with torch.no_grad():
        found = network(IMAGES)

    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs, rtol=1e-4, atol=1e-5)


def test_the_network_exports(network: YoloNetwork) -> None:
    """ONNX Runtime and torch agree for another batch."""
    boxes, scores = run_as_onnx(network, {"image": IMAGES[:1]}, {"image": IMAGES})
    with torch.no_grad():
        expected_boxes, expected_scores = network(IMAGES)

    np.testing.assert_allclose(boxes, expected_boxes, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-4, atol=1e-5)


def test_weights_come_out_as_they_went_in(network: YoloNetwork, weights: Path, tmp_path: Path) -> None:
    """Bit by bit, header included."""
    save_darknet(network, tmp_path / "b.weights")

    assert (tmp_path / "b.weights").read_bytes() == weights.read_bytes()


def test_a_backbone_fills_the_first_layers_only(weights: Path, tmp_path: Path) -> None:
    """The layers from `cutoff` on keep what they had."""
    network = YoloNetwork(parse_cfg(CFG))
    count = float_count(network.network, cutoff=5)
    (tmp_path / "backbone").write_bytes(weights.read_bytes()[: 20 + 4 * count])
    before = network.layers[6][0].weight.clone()  # type: ignore[index]  # a convolution's sequence
    load_darknet(network, tmp_path / "backbone", cutoff=5)

    assert torch.equal(network.layers[6][0].weight, before)  # type: ignore[index]
    with pytest.raises(CheckpointError, match="are missing"):
        load_darknet(network, tmp_path / "backbone")


def test_the_loss_teaches_the_network(network: YoloNetwork) -> None:
    """A few steps on one batch, an image without objects included."""
    torch.manual_seed(0)
    network.train()
    optimiser = torch.optim.Adam(network.parameters(), 0.01)
    losses = []
    for _ in range(60):
        loss = yolo_loss(network, network.predict(channels_first(IMAGES)), TRUTHS)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it so
        optimiser.step()
        losses.append(loss.item())

    assert losses[-1] < losses[0] / 4


def test_a_network_without_heads_is_refused() -> None:
    """A classifier's .cfg, for example."""
    with pytest.raises(ValueError, match=r"no \[yolo\] layer"):
        YoloNetwork(parse_cfg(CFG.split("[yolo]", maxsplit=1)[0]))


def test_training_needs_a_square() -> None:
    """A long image is served all the same."""
    network = YoloNetwork(parse_cfg(CFG.replace("height=32", "height=64"))).eval()
    images = torch.zeros(1, 64, 32, 3, dtype=torch.uint8)

    assert network(images)[0].shape[2] == 4
    with pytest.raises(ValueError, match="square input"):
        yolo_loss(network, network.predict(channels_first(images)), TRUTHS[:1])


@pytest.mark.realdata
@pytest.mark.parametrize(("name", "floats", "heads"), [("yolov3", 62_001_757, 3), ("yolov3-tiny", 8_858_734, 2)])
def test_published_networks_have_the_published_sizes(name: str, floats: int, heads: int) -> None:
    """YOLOv3: 75 convolutions, 72 normalised, a weights file of 248,007,048 bytes."""
    if not REALDATA.is_dir():
        pytest.skip("the real .cfg files are not here")
    with torch.device("meta"):
        network = YoloNetwork(read_cfg(REALDATA / f"{name}.cfg"))
    kinds = [type(module) for module in network.modules()]
    tensors = [tensor for key, tensor in network.state_dict().items() if "num_batches" not in key]

    assert sum(tensor.numel() for tensor in tensors) == floats
    assert len(network.grids) == heads
    if name == "yolov3":
        assert (kinds.count(torch.nn.Conv2d), kinds.count(torch.nn.BatchNorm2d)) == (75, 72)
        assert 20 + 4 * floats == 248_007_048


@pytest.mark.realdata
def test_real_weights_come_out_as_they_went_in(tmp_path: Path) -> None:
    """A trained network of the family: every float in its place, and the served graph agrees."""
    cfg, weights = (REALDATA / f"MobileNetV2-YOLOv3-Nano-voc.{ending}" for ending in ("cfg", "weights"))
    if not weights.is_file():
        pytest.skip("the real weights are not here")
    network = YoloNetwork(read_cfg(cfg))
    load_darknet(network, weights)
    save_darknet(network, tmp_path / "out.weights")

    expected = weights.read_bytes()
    floats = 4 * float_count(network.network)
    assert (tmp_path / "out.weights").read_bytes()[20:] == expected[len(expected) - floats :]
