from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.models import resnet18

from tests.support.onnx_export import run_as_onnx
from training.models.compcars import Backbone, CompCars, CompCarsConfig, Pooling, power_pool

IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    torch.manual_seed(7)
    with torch.no_grad():
        yield


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def plain(network: CompCars, image: Tensor, pooling: Pooling = "power") -> Tensor:
    """Compute the published embedding of one scale in loops over channels, through torchvision's own ResNet."""
    resnet = resnet18().eval()
    resnet.load_state_dict(network.resnet.state_dict(), strict=False)
    resnet.avgpool, resnet.fc = nn.Identity(), nn.Identity()
    activation: Tensor = resnet(image).reshape(len(image), 512, -1)
    p = network.p.item()
    if pooling == "power":
        pooled = torch.stack(
            [
                torch.stack([(channel.pow(p).sum() / (channel.norm() + 1e-7) + 0.1) ** (1 / p) for channel in image])
                for image in activation
            ]
        )
        embedding = pooled @ network.gem_proj.weight.T + network.gem_proj.bias
    else:
        side = int(activation.shape[2] ** 0.5)
        summary = torch.stack((activation.mean(1), activation.max(1)[0]), dim=1).reshape(-1, 2, side, side)
        weights = network.sa.conv(summary).sigmoid().flatten(1)
        embedding = torch.einsum("ncs,ns->nc", activation, weights)
    length: Tensor = embedding.norm(dim=1, keepdim=True)
    return embedding / (length + 1e-7)


def test_the_published_network_has_the_published_size() -> None:
    """29,753,404 parameters, ImageNet's classifier included, which is not kept here."""
    with torch.device("meta"):
        network = CompCars(CompCarsConfig(pooling="attention"))

    assert parameters(network) + 2048 * 1000 + 1000 == 29_753_404
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert shapes["gem_proj.weight"] == (2048, 2048)
    assert shapes["sa.conv.weight"] == (1, 2, 3, 3)
    assert shapes["p"] == (1,)


@pytest.mark.parametrize(
    ("backbone", "is_two_scale", "dimension"),
    [("resnet18", False, 512), ("resnet18", True, 1024), ("resnet50", False, 2048), ("resnet50", True, 4096)],
)
def test_dimensions_are_those_of_the_backbone(backbone: Backbone, is_two_scale: bool, dimension: int) -> None:  # noqa: FBT001  # the case itself
    """Two scales double them."""
    with torch.device("meta"):
        network = CompCars(CompCarsConfig(backbone=backbone, is_two_scale=is_two_scale)).eval()
        assert tuple(network(torch.empty(2, 3, 224, 224)).shape) == (2, dimension)


@pytest.mark.parametrize("pooling", ["power", "attention"])
def test_the_embedding_is_the_published_one(pooling: Pooling) -> None:
    """Beside loops over the channels."""
    network = CompCars(CompCarsConfig("resnet18", pooling)).eval()

    torch.testing.assert_close(network(IMAGES), plain(network, IMAGES, pooling), rtol=1e-4, atol=1e-5)


def test_two_scales_stand_side_by_side() -> None:
    """224 becomes 317, 64 becomes 91; each half is normalised before the whole."""
    network = CompCars(CompCarsConfig("resnet18", is_two_scale=True)).eval()
    larger = nn.functional.interpolate(IMAGES, (91, 91), mode="bilinear", align_corners=True)
    halves = torch.cat((plain(network, IMAGES), plain(network, larger)), dim=1)

    torch.testing.assert_close(network(IMAGES), halves / 2**0.5, rtol=1e-4, atol=1e-5)


def test_the_pooling_is_not_gem() -> None:
    """One place of value 2: powers sum to 8, the norm is 2, so (8/2 + .1)^(1/3)."""
    activation = torch.zeros(1, 1, 7, 7)
    activation[0, 0, 3, 3] = 2

    assert power_pool(activation, torch.tensor([3.0])).item() == pytest.approx(4.1 ** (1 / 3))
    assert power_pool(activation * 0, torch.tensor([3.0])).item() == pytest.approx(0.1 ** (1 / 3))


def test_unseen_channels_train() -> None:
    """Where a channel saw nothing the gradient is finite, also that of the power."""
    with torch.enable_grad():
        activation, power = torch.zeros(1, 1, 2, 2, requires_grad=True), torch.tensor([3.0], requires_grad=True)
        power_pool(activation, power).sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it so

    assert activation.grad is not None
    assert power.grad is not None
    assert activation.grad.isfinite().all()
    assert power.grad.isfinite().all()


@pytest.mark.parametrize("pooling", ["power", "attention"])
def test_cars_are_classified(pooling: Pooling) -> None:
    """Power pooling classifies the unit embedding, attention the raw one."""
    network = CompCars(CompCarsConfig("resnet18", pooling, classes=9)).eval()
    embedding = network(IMAGES) if pooling == "power" else network.pool(IMAGES)

    torch.testing.assert_close(network.classify(IMAGES), network.fc1(embedding))


@pytest.mark.parametrize(
    "config",
    [
        CompCarsConfig("resnet18"),
        CompCarsConfig("resnet18", "attention"),
        CompCarsConfig("resnet18", is_two_scale=True),
    ],
    ids=["power", "attention", "two scales"],
)
def test_the_network_exports(config: CompCarsConfig) -> None:
    """ONNX Runtime and torch agree."""
    network = CompCars(config).eval()
    (embedding,) = run_as_onnx(network, {"image": IMAGES[:1]}, {"image": IMAGES})

    np.testing.assert_allclose(embedding, network(IMAGES), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), 1, atol=1e-5)


def test_a_narrow_network_has_the_published_names() -> None:
    """Only its shapes differ; a quarter as wide, it has a sixteenth of the weights and embeds in 128 dimensions."""
    narrow, whole = CompCars(CompCarsConfig("resnet18", width=0.25)).eval(), CompCars(CompCarsConfig("resnet18"))

    assert narrow.state_dict().keys() == whole.state_dict().keys()
    assert parameters(narrow) < parameters(whole) / 15
    assert narrow(IMAGES).shape == (2, 128)
    with pytest.raises(ValueError, match="scales resnet18 only"):
        CompCarsConfig(width=0.5)
