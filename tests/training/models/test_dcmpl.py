from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from tests.support.onnx_export import run_as_onnx
from training.models.dcmpl import Backbone, Dcmpl, DcmplConfig, Reading
from training.models.mobilenet_v1 import MobileNetV1

SMALL = {"vocabulary_size": 50, "word_dimension": 8, "hidden": 6, "dimension": 5, "width": 0.125}
TOKENS = torch.tensor([[3, 9, 4, 1, 7], [8, 2, 0, 0, 0], [5, 6, 7, 0, 0]])
LENGTHS = torch.tensor([5, 2, 3])


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    torch.manual_seed(7)
    with torch.no_grad():
        yield


def small(**options: object) -> Dcmpl:
    return Dcmpl(DcmplConfig(**{**SMALL, **options})).eval()  # type: ignore[arg-type]


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_published_network_has_the_published_size() -> None:
    """14,594,880 parameters, of which 3,206,976 in the trunk."""
    with torch.device("meta"):
        network = Dcmpl(DcmplConfig())

    assert parameters(network) == 14_594_880
    assert parameters(network.image_model) == 3_206_976


@pytest.mark.parametrize(("backbone", "pooled"), [("mobilenet_v1", 1024), ("resnet50", 2048)])
def test_both_backbones_end_in_512(backbone: Backbone, pooled: int) -> None:
    """The 1-by-1 convolution takes what the backbone pools."""
    with torch.device("meta"):
        network = Dcmpl(DcmplConfig(backbone=backbone)).eval()
        embedding = network.embed_image(torch.empty(2, 3, 224, 224))

    assert tuple(network.conv_images.weight.shape) == (512, pooled, 1, 1)
    assert tuple(embedding.shape) == (2, 512)


def test_parameters_carry_the_published_names() -> None:
    """Names and shapes of section 1.4, the pool at index 14 having none."""
    with torch.device("meta"):
        shapes = {name: tuple(tensor.shape) for name, tensor in Dcmpl(DcmplConfig()).state_dict().items()}

    assert shapes["image_model.model.0.0.weight"] == (32, 3, 3, 3)
    assert shapes["image_model.model.0.1.running_var"] == (32,)
    assert shapes["image_model.model.1.0.weight"] == (32, 1, 3, 3)
    assert shapes["image_model.model.13.3.weight"] == (1024, 1024, 1, 1)
    assert shapes["image_model.model.13.4.bias"] == (1024,)
    assert shapes["bilstm.embed.weight"] == (12000, 512)
    assert shapes["bilstm.bilstm.1.weight_ih_l0"] == (2048, 512)
    assert shapes["conv_text.weight"] == (512, 1024, 1, 1)
    assert not [name for name in shapes if name.startswith("bilstm.bilstm") and "bias" in name]


def test_strides_are_those_of_mobilenet() -> None:
    """224 pixels become 7 by 7 before the pool."""
    with torch.device("meta"):
        assert tuple(MobileNetV1().model(torch.empty(1, 3, 224, 224)).shape) == (1, 1024, 7, 7)


def published_captions(network: Dcmpl, tokens: Tensor, lengths: Tensor) -> Tensor:
    """Compute the published text branch its own way: packed sequences, reversal along the batch, zeros in the maximum."""
    words = network.bilstm.embed(tokens)
    halves = []
    in_order = torch.arange(len(tokens))
    for lstm, order in zip(network.bilstm.bilstm, (in_order, in_order.flip(0)), strict=True):
        packed = pack_padded_sequence(words[order], lengths[order], batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(lstm(packed)[0], batch_first=True)
        halves.append(states[order])
    pooled = torch.cat(halves, dim=2).max(dim=1)[0]
    return nn.functional.linear(pooled, network.conv_text.weight[:, :, 0, 0], network.conv_text.bias)


def test_two_forward_repeats_the_published_branch() -> None:
    """With the switch on, zeros behind short captions enter the maximum as in the published evaluation."""
    network = small(pad_zero_in_max=True)

    torch.testing.assert_close(network.embed_text(TOKENS, LENGTHS), published_captions(network, TOKENS, LENGTHS))


def test_one_caption_at_a_time_needs_no_switch() -> None:
    """The published application asked for one caption, where no zero enters."""
    network = small()
    alone = [published_captions(network, TOKENS[i : i + 1, :n], LENGTHS[i : i + 1]) for i, n in enumerate(LENGTHS)]

    torch.testing.assert_close(network.embed_text(TOKENS, LENGTHS), torch.cat(alone))


@pytest.mark.parametrize("reading", ["two_forward", "bidirectional"])
def test_a_caption_is_the_same_in_any_batch(reading: Reading) -> None:
    """Neither the neighbours nor the padding change an embedding."""
    network = small(reading=reading)
    together = network.embed_text(TOKENS, LENGTHS)
    padded = network.embed_text(nn.functional.pad(TOKENS, (0, 9)), LENGTHS)

    torch.testing.assert_close(padded, together)
    for row, length in enumerate(LENGTHS):
        alone = network.embed_text(TOKENS[row : row + 1, :length], LENGTHS[row : row + 1])
        torch.testing.assert_close(alone[0], together[row])


def test_bidirectional_is_torchs_bidirectional() -> None:
    """The second LSTM reads each caption from its own last word."""
    network = small(reading="bidirectional")
    both = nn.LSTM(8, 6, bias=False, batch_first=True, bidirectional=True)
    both.load_state_dict(
        {
            f"{name}{suffix}": tensor
            for lstm, suffix in zip(network.bilstm.bilstm, ("", "_reverse"), strict=True)
            for name, tensor in lstm.state_dict().items()
        }
    )
    for row, length in enumerate(LENGTHS):
        states, _ = both(network.bilstm.embed(TOKENS[row : row + 1, :length]))
        torch.testing.assert_close(
            network.bilstm(TOKENS[row : row + 1], LENGTHS[row : row + 1]), states.amax(dim=1), rtol=1e-4, atol=1e-5
        )


def test_swapping_the_forward_lstms_swaps_the_halves() -> None:
    """Both read left to right, so only the order of their outputs tells them apart."""
    network = small()
    before = network.bilstm(TOKENS, LENGTHS)
    network.bilstm.bilstm = nn.ModuleList(reversed(network.bilstm.bilstm))

    torch.testing.assert_close(network.bilstm(TOKENS, LENGTHS), torch.cat((before[:, 6:], before[:, :6]), dim=1))


def test_an_empty_caption_is_finite() -> None:
    """The maximum of nothing would be minus infinity."""
    assert small().embed_text(TOKENS, torch.tensor([0, 2, 3])).isfinite().all()


def test_a_batch_of_one_keeps_its_axis() -> None:
    """The published squeeze would drop it."""
    network = small()
    image, text = network(torch.randn(1, 3, 32, 32), TOKENS[:1], LENGTHS[:1])

    assert image.shape == text.shape == (1, 5)


@pytest.mark.parametrize("reading", ["two_forward", "bidirectional"])
def test_the_text_branch_exports(reading: Reading) -> None:
    """ONNX Runtime and torch agree for batches and lengths that the export never saw."""
    network = small(reading=reading)
    tokens, lengths = torch.randint(1, 50, (4, 11)), torch.tensor([11, 1, 6, 9])
    (embedding,) = run_as_onnx(
        network.embed_text,
        {"tokens": TOKENS, "lengths": LENGTHS},
        {"tokens": tokens, "lengths": lengths},
        dynamic_axes=(0, 1),
    )

    np.testing.assert_allclose(embedding, network.embed_text(tokens, lengths), atol=1e-5)


def test_the_image_branch_exports() -> None:
    """ONNX Runtime and torch agree."""
    network, images = small(), torch.randn(3, 3, 64, 32)
    (embedding,) = run_as_onnx(network.embed_image, {"image": images[:1]}, {"image": images})

    np.testing.assert_allclose(embedding, network.embed_image(images), atol=1e-5)
