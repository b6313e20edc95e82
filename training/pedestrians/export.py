"""Makes two bundles of one checkpoint that passes the gate: people's images, and the sentences that find them."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from encoders.bundle import Bundle
from training.bundles import ImageTower, TextTower, finished, regated, write_paired_bundles
from training.datasets.pedestrians import Pedestrians
from training.gate import FEWEST_INPUTS, Candidate, gate
from training.models.dcmpl import Dcmpl
from training.models.served import Outputs
from training.onnx_graph import onnx_outputs
from training.pedestrians.captions import TOKENIZER
from training.pedestrians.config import PedestriansConfig
from training.pedestrians.held_out import HeldOut
from training.pedestrians.task import embedded, image_encoder, text_encoder, text_inputs
from training.tokens.captions import MAX_TOKENS

IMAGE, TEXT = "pedestrian", "pedestrian-text"


def export(run: Path, people: Pedestrians, out: Path, *, fewest_inputs: int = FEWEST_INPUTS) -> tuple[Bundle, Bundle]:
    """Gate both branches on the test split and write `out`/pedestrian and `out`/pedestrian-text, which share a space."""
    trained, tokenizer = finished(run, PedestriansConfig), run / TOKENIZER
    vocabulary_size = len(trained.weights["bilstm.embed.weight"])
    network = Dcmpl(replace(trained.config.network, vocabulary_size=vocabulary_size)).eval()
    network.load_state_dict(trained.weights)
    preprocessing = trained.config.data.preprocessing
    held_out = HeldOut.of(people, "test", preprocessing=preprocessing, tokenizer=tokenizer)
    images, captions = embedded(network, held_out)

    of_images = _image_candidate(image_encoder(network), held_out, captions)
    of_captions = _text_candidate(text_encoder(network), held_out, images)
    image = gate(of_images, out / IMAGE, fewest_inputs=fewest_inputs)
    text = gate(of_captions, out / TEXT, fewest_inputs=fewest_inputs)

    shipped = Path(shutil.copyfile(tokenizer, out / TEXT / TOKENIZER))
    return write_paired_bundles(
        ImageTower(out / IMAGE, image, ("image",), preprocessing),
        TextTower(out / TEXT, text, shipped, MAX_TOKENS),
        dimension=trained.config.network.dimension,
        trained_on=trained.trained_on,
    )


def regate(out: Path, people: Pedestrians, *, fewest_inputs: int = FEWEST_INPUTS) -> tuple[Bundle, Bundle]:
    """Write the smaller precisions of both bundles anew, from their fp32 files."""
    image, text = Bundle.load(out / IMAGE), Bundle.load(out / TEXT)
    held_out = HeldOut.of(people, "test", preprocessing=image.image_preprocessing, tokenizer=text.folder / TOKENIZER)
    of_images, of_captions = image.path_of("fp32"), text.path_of("fp32")
    (images,) = onnx_outputs(of_images, {"image": held_out.pixels}, ("embedding",))
    (captions,) = onnx_outputs(of_captions, text_inputs(held_out.tokens), ("embedding",))
    return (
        regated(image, _image_candidate(of_images, held_out, captions), fewest_inputs=fewest_inputs),
        regated(text, _text_candidate(of_captions, held_out, images), fewest_inputs=fewest_inputs),
    )


def _image_candidate(network: nn.Module | Path, held_out: HeldOut, captions: NDArray[np.float32]) -> Candidate:
    return Candidate(
        network=network,
        inputs={"image": held_out.pixels},
        outputs=("embedding",),
        quality=_quality(lambda outputs: held_out.figures(outputs[0], captions)),
    )


def _text_candidate(network: nn.Module | Path, held_out: HeldOut, images: NDArray[np.float32]) -> Candidate:
    return Candidate(
        network=network,
        inputs=text_inputs(held_out.tokens),
        outputs=("embedding",),
        quality=_quality(lambda outputs: held_out.figures(images, outputs[0])),
    )


def _quality(figures: Callable[[Outputs], Mapping[str, float]]) -> Callable[[Outputs], dict[str, float]]:
    """The two figures that no precision may spoil, the other branch being the reference's."""

    def quality(outputs: Outputs) -> dict[str, float]:
        measured = figures(outputs)
        return {name: measured[name] for name in ("r1", "map")}

    return quality
