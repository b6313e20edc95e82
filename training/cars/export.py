"""Makes the `car` bundle of a checkpoint that passes the gate."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import nn

from encoders.bundle import Bundle, Preprocessing
from training.bundles import finished, regated, write_image_bundle
from training.cars.config import CarsConfig
from training.cars.photos import TestPhotos
from training.cars.task import served_network
from training.decoded import decoded
from training.gate import FEWEST_INPUTS, Candidate, gate
from training.metrics import evaluate, same_label
from training.models.compcars import CompCars
from training.models.served import Outputs

NAME = "car"


def export(run: Path, photos: TestPhotos, out: Path, *, fewest_inputs: int = FEWEST_INPUTS) -> Bundle:
    """Gate the averaged network on gallery and queries of the test and write `out`/car."""
    trained = finished(run, CarsConfig)
    # The classifier names the models of training; a served network does not need it.
    weights = {name: tensor for name, tensor in trained.weights.items() if not name.startswith("fc1.")}
    network = CompCars(replace(trained.config.network, classes=0))
    network.load_state_dict(weights)

    preprocessing = trained.config.input.preprocessing
    candidate = _candidate(served_network(network.eval()), photos, preprocessing)
    gated = gate(candidate, out / NAME, fewest_inputs=fewest_inputs)
    dimension = network.gem_proj.out_features * (2 if trained.config.network.is_two_scale else 1)
    return write_image_bundle(out / NAME, gated, preprocessing, dimension=dimension, trained_on=trained.trained_on)


def regate(out: Path, photos: TestPhotos, *, fewest_inputs: int = FEWEST_INPUTS) -> Bundle:
    """Write the smaller precisions of the bundle `out`/car anew, from its fp32 file."""
    bundle = Bundle.load(out / NAME)
    candidate = _candidate(bundle.path_of("fp32"), photos, bundle.image_preprocessing)
    return regated(bundle, candidate, fewest_inputs=fewest_inputs)


def _candidate(network: nn.Module | Path, photos: TestPhotos, preprocessing: Preprocessing) -> Candidate:
    """The network with gallery and queries as it is served them; its quality is how well these find those."""
    images = [car.path for car in photos.gallery] + [car.path for car in photos.queries]
    gallery = len(photos.gallery)

    def quality(outputs: Outputs) -> dict[str, float]:
        is_relevant = same_label(photos.query_labels, photos.gallery_labels)
        found = evaluate(outputs[0][gallery:], outputs[0][:gallery], is_relevant)
        return {"r1": found.recall(1), "map20": float(np.mean(found.ap_at_k))}

    return Candidate(
        network=network,
        inputs={"image": decoded(images, preprocessing)},
        outputs=("embedding",),
        quality=quality,
    )
