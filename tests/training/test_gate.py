from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from encoders.bundle import Bundle, ModelFile, Preprocessing, Tower, space_of
from encoders.serving.providers import SessionOptions
from encoders.serving.session import EmbeddingSession
from training.bundles import regated
from training.gate import Candidate, Gated, GateError, closeness, gate, require_close
from training.models.dcmpl import Dcmpl, DcmplConfig
from training.models.served import DCMPL_SCALING, ImageEncoder, Inputs, Outputs, TextEncoder
from training.models.taskformer import TaskFormer, TaskFormerConfig

SIZE_PX = 24
COUNT = 30


class SmallNetwork(nn.Sequential):
    """Two convolutions and a projection."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 16, 3, stride=2),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(128, 16),
        )


class SmallDetector(nn.Module):
    """One guess for each pixel of an 8th of the image's."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 8, stride=8)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Give boxes and scores."""
        guesses = self.conv(image.permute(0, 3, 1, 2).float() / 255).flatten(2).transpose(1, 2).sigmoid()
        return guesses[..., :4], guesses[..., 4:]


class Moody(nn.Module):
    """Embeds bright images otherwise than dark ones, by a branch that a traced graph does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, image: Tensor) -> Tensor:
        """Embed the mean colour."""
        mean = self.linear(image.float().mean(dim=(1, 2)))
        return nn.functional.normalize(-mean if image.float().mean() > 100 else mean, dim=1)


def images(count: int = COUNT) -> NDArray[np.uint8]:
    """Make images of one colour each, with some noise."""
    rng = np.random.default_rng(3)
    colours = rng.integers(30, 226, (count, 1, 1, 3))
    return (colours + rng.integers(-30, 30, (count, SIZE_PX, SIZE_PX, 3))).astype(np.uint8)


def sentences() -> Inputs:
    """Make rows of token ids, the longest twelve long, padded with zeros."""
    rng = np.random.default_rng(4)
    lengths = rng.integers(2, 13, COUNT)
    tokens = rng.integers(4, 20, (COUNT, 12)) * (np.arange(12) < lengths[:, None])
    return {"tokens": tokens.astype(np.int64), "lengths": lengths.astype(np.int64)}


def candidate_of(network: nn.Module, inputs: Inputs, *, near: float = 0.9) -> Candidate:
    """Make a candidate whose quality is the share of its embeddings that point nearly where torch's do."""
    with torch.inference_mode():
        trained = network.eval()(*(torch.from_numpy(values) for values in inputs.values())).numpy()

    def quality(outputs: Outputs) -> dict[str, float]:
        return {"like_torch": float(((outputs[0] * trained).sum(axis=1) > near).mean())}

    return Candidate(network, inputs, ("embedding",), quality)


def image_candidate(*, near: float = 0.9) -> Candidate:
    torch.manual_seed(1)
    network = SmallNetwork()
    return candidate_of(ImageEncoder(network, network.forward, DCMPL_SCALING), {"image": images()}, near=near)


def bundle_of(gated: Gated, folder: Path) -> Bundle:
    preprocessing = Preprocessing(size=(SIZE_PX, SIZE_PX))
    bundle = Bundle(
        folder=folder,
        name="small",
        version="1",
        kind="image",
        modalities=("image",),
        space=space_of(16, Tower(gated.precisions["fp32"].sha256, preprocessing)),
        dimension=16,
        precisions=gated.precisions,
        preprocessing=preprocessing,
        max_batch=8,
        gate=gated.figures,
    )
    bundle.write(folder)
    return Bundle.load(folder)


def test_every_precision_is_served(tmp_path: Path) -> None:
    """Each file answers as torch does, alone and in a batch; fp32 is what is served unless another one is asked for."""
    candidate = image_candidate()
    gated = gate(candidate, tmp_path, keep=("fp32", "fp16", "int8"), fewest_inputs=COUNT)

    assert gated.precisions == {
        "fp32": ModelFile.of(tmp_path / "model.onnx"),
        "fp16": ModelFile.of(tmp_path / "model.fp16.onnx"),
        "int8": ModelFile.of(tmp_path / "model.int8.onnx"),
    }
    assert gated.figures["inputs"] == COUNT
    bundle, rows = bundle_of(gated, tmp_path), candidate.inputs["image"]
    assert isinstance(candidate.network, nn.Module)
    with torch.inference_mode():
        trained = candidate.network(torch.from_numpy(rows)).numpy()
    for precision, least in (("", 0.99999), ("fp16", 0.999), ("int8", 0.98)):
        session = EmbeddingSession(bundle, SessionOptions(provider="cpu", precision=precision))
        session.warm_up()
        assert session.graph.precision == (precision or "fp32")
        for count in (1, 5):
            served = np.stack([np.asarray(answer) for answer in session.run(list(rows[:count])).results])
            assert (served * trained[:count]).sum(axis=1).min() >= least
        figures = gated.figures[precision or "fp32"]
        assert figures["like_torch"] == 1.0
        assert figures["mean_cosine"] >= figures["least_cosine"] >= least


def test_int8_has_eight_bits(tmp_path: Path) -> None:
    """Convolutions and projections hold weights of a scale for each channel, unless they are said to stay float."""
    candidate = image_candidate()
    gate(candidate, tmp_path / "all", fewest_inputs=COUNT)
    gate(replace(candidate, float_parts=("/network.2/",)), tmp_path / "some", fewest_inputs=COUNT)

    def scales(folder: str) -> list[int]:
        graph = onnx.load(tmp_path / folder / "model.int8.onnx").graph
        tensors = {tensor.name: tensor for tensor in graph.initializer}
        quantised = [
            node
            for node in graph.node
            if node.op_type == "DequantizeLinear"
            and node.input[0] in tensors
            and tensors[node.input[0]].data_type == onnx.TensorProto.INT8
        ]
        return sorted(tensors[node.input[1]].dims[0] for node in quantised)

    assert scales("all") == [16, 16, 32]
    assert scales("some") == [16, 16]
    with pytest.raises(ValueError, match=r"no node .* /network\.9/"):
        gate(replace(candidate, float_parts=("/network.9/",)), tmp_path / "none", fewest_inputs=COUNT)


def test_what_is_not_good_enough_has_no_file(tmp_path: Path) -> None:
    """A precision that loses quality is left out and its figures say why; a file of an earlier gate goes."""
    gate(image_candidate(), tmp_path, keep=("fp32", "fp16", "int8"), fewest_inputs=COUNT)
    assert (tmp_path / "model.int8.onnx").is_file()

    gated = gate(image_candidate(near=0.99999), tmp_path, keep=("fp32", "int8"), fewest_inputs=COUNT)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx"]
    assert set(gated.precisions) == {"fp32"}
    assert gated.figures["int8"]["like_torch"] < 0.99
    assert "like_torch" in gated.figures["int8"]["left_out"]
    assert "left_out" not in gated.figures["fp32"]


def test_another_embedding_is_refused(tmp_path: Path) -> None:
    """A graph that does not say what torch says is refused, and so is one that says no number; no file is written."""
    rows = np.concatenate([images() // 4, images() // 4 + 190])
    broken = SmallNetwork()
    nn.init.constant_(next(broken.parameters()), torch.nan)
    for network in (Moody(), ImageEncoder(broken, broken.forward, DCMPL_SCALING)):
        with pytest.raises(GateError, match="cosine"):
            gate(candidate_of(network, {"image": rows}), tmp_path / "refused", fewest_inputs=len(rows))
    assert not (tmp_path / "refused").exists()


def test_few_inputs_tell_nothing(tmp_path: Path) -> None:
    """The gate wants 500 inputs."""
    with pytest.raises(GateError, match="30 inputs are too few to tell; the gate needs 500"):
        gate(image_candidate(), tmp_path)


def test_texts_are_gated_at_their_own_lengths(tmp_path: Path) -> None:
    """A transformer's sentences of any length are as torch embeds them, in integers nearly so."""
    torch.manual_seed(1)
    config = TaskFormerConfig(
        has_heads=False,
        dimension=16,
        image_px=32,
        vision_width=64,
        vision_layers=1,
        text_width=64,
        text_layers=1,
        max_tokens=12,
        vocabulary_size=20,
    )
    network = TaskFormer(config)
    gated = gate(candidate_of(TextEncoder(network, network.embed_text), sentences()), tmp_path, fewest_inputs=COUNT)

    assert set(gated.precisions) == {"fp32", "int8"}
    assert gated.figures["fp32"]["least_cosine"] >= 0.99999
    assert gated.figures["int8"]["least_cosine"] >= 0.98


def test_recurrent_texts_have_no_int8(tmp_path: Path) -> None:
    """What reads word after word is served in fp32, and its figures say why not in int8."""
    torch.manual_seed(1)
    network = Dcmpl(DcmplConfig(vocabulary_size=20, word_dimension=8, hidden=6, dimension=16, width=0.125))
    gated = gate(
        candidate_of(TextEncoder(network, network.embed_text), sentences()),
        tmp_path,
        keep=("fp32", "fp16", "int8"),
        fewest_inputs=COUNT,
    )

    assert set(gated.precisions) == {"fp32", "fp16"}
    assert gated.figures["int8"] == {"left_out": "LSTM cannot be computed in integers"}


def test_boxes_and_scores_are_gated(tmp_path: Path) -> None:
    """A detector's boxes and scores are held to torch's; an fp32 file without its network is taken as it is."""
    torch.manual_seed(1)
    candidate = Candidate(
        SmallDetector(),
        {"image": images()},
        ("boxes", "scores"),
        quality=lambda outputs: {"score": float(outputs[1].max())},
    )
    gated = gate(candidate, tmp_path / "first", keep=("fp32",), fewest_inputs=COUNT)
    again = gate(
        replace(candidate, network=tmp_path / "first" / "model.onnx"), tmp_path / "second", fewest_inputs=COUNT
    )

    assert gated.figures["fp32"]["largest_difference_of_boxes"] <= 1e-5
    assert again.precisions["fp32"] == gated.precisions["fp32"]
    assert set(again.precisions) == {"fp32", "int8"}
    assert again.figures["fp32"] == {"score": gated.figures["fp32"]["score"]}
    assert gated.figures["int8"] == {
        **again.figures["int8"],
        "left_out": "not among the precisions that this bundle ships",
    }


def test_other_boxes_are_refused() -> None:
    """Boxes or scores that differ from torch's by too much are named, and so are those that are not numbers."""
    names, same = ("boxes", "scores"), [np.zeros((2, 3, 4), np.float32), np.zeros((2, 3, 5), np.float32)]
    require_close(closeness(names, same, same))
    with pytest.raises(GateError, match=r"boxes .* 0\.0100"):
        require_close(closeness(names, same, [same[0] + 0.01, same[1]]))
    with pytest.raises(GateError, match="scores"):
        require_close(closeness(names, same, [same[0], same[1] + np.nan]))


def test_a_bundle_is_regated_in_its_folder(tmp_path: Path) -> None:
    """A bundle without a checkpoint gets int8 from its own file, in the same space; what was known of fp32 stays."""
    bundle = bundle_of(gate(image_candidate(), tmp_path, keep=("fp32",), fewest_inputs=COUNT), tmp_path)
    assert set(bundle.precisions) == {"fp32"}
    candidate = Candidate(bundle.path_of("fp32"), {"image": images(500)}, ("embedding",), lambda _: {"always": 1.0})

    described = regated(bundle, candidate)

    assert Bundle.load(tmp_path) == described
    assert set(described.precisions) == {"fp32", "int8"}
    assert (described.space, described.precisions["fp32"]) == (bundle.space, bundle.precisions["fp32"])
    assert described.gate["fp32"] == {**bundle.gate["fp32"], "always": 1.0}
    assert described.gate["int8"]["weight_bits"] == 7
