"""Makes the `car` bundle of a checkpoint that passes the gate."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from encoders.bundle import Bundle, Tower, space_of
from training.cars.config import CarsConfig
from training.cars.photos import TestPhotos
from training.cars.task import served_network
from training.config import build
from training.decoded import decoded
from training.gate import FEWEST_INPUTS, Candidate, Outputs, gate
from training.loop import CHECKPOINT
from training.metrics import evaluate, same_label
from training.models.compcars import CompCars

NAME = "car"
VERSION = "1"
LICENCE = "Apache-2.0"


def export(run: Path, photos: TestPhotos, out: Path, *, fewest_inputs: int = FEWEST_INPUTS) -> Bundle:
    """Gate the averaged network on gallery and queries of the test and write `out`/car."""
    checkpoint = torch.load(run / CHECKPOINT, weights_only=True, map_location="cpu")
    config = build(CarsConfig, checkpoint["config"])
    # The classifier names the models of training; nobody asks it when served.
    weights = {name: tensor for name, tensor in checkpoint["weights"].items() if not name.startswith("fc1.")}
    network = CompCars(replace(config.network, classes=0))
    network.load_state_dict(weights)

    preprocessing = config.input.preprocessing
    pictures = [car.path for car in photos.gallery] + [car.path for car in photos.queries]
    gallery = len(photos.gallery)

    def quality(outputs: Outputs) -> dict[str, float]:
        is_relevant = same_label(photos.query_labels, photos.gallery_labels)
        found = evaluate(outputs[0][gallery:], outputs[0][:gallery], is_relevant)
        return {"r1": found.recall(1), "map20": float(np.mean(found.ap_at_k))}

    candidate = Candidate(
        network=served_network(network.eval()),
        inputs={"image": decoded(pictures, preprocessing)},
        outputs=("embedding",),
        quality=quality,
    )
    gated = gate(candidate, out / NAME, fewest_inputs=fewest_inputs)
    dimension = network.gem_proj.out_features * (2 if config.network.is_two_scale else 1)
    bundle = Bundle(
        folder=out / NAME,
        name=NAME,
        version=VERSION,
        kind="image",
        modalities=("image",),
        space=space_of(dimension, Tower(gated.precisions["fp32"].sha256, preprocessing)),
        dimension=dimension,
        preprocessing=preprocessing,
        precisions=gated.precisions,
        licence=LICENCE,
        trained_on=f"{config.trained_on}; {checkpoint['epoch']} epochs, seed {config.seed}",
        gate=gated.figures,
    )
    bundle.write(bundle.folder)
    return bundle
