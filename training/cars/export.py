"""Makes the `car` bundle of a checkpoint that passes the gate."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from encoders.bundle import Bundle
from training.bundles import finished, write_image_bundle
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
    images = [car.path for car in photos.gallery] + [car.path for car in photos.queries]
    gallery = len(photos.gallery)

    def quality(outputs: Outputs) -> dict[str, float]:
        is_relevant = same_label(photos.query_labels, photos.gallery_labels)
        found = evaluate(outputs[0][gallery:], outputs[0][:gallery], is_relevant)
        return {"r1": found.recall(1), "map20": float(np.mean(found.ap_at_k))}

    candidate = Candidate(
        network=served_network(network.eval()),
        inputs={"image": decoded(images, preprocessing)},
        outputs=("embedding",),
        quality=quality,
    )
    gated = gate(candidate, out / NAME, fewest_inputs=fewest_inputs)
    dimension = network.gem_proj.out_features * (2 if trained.config.network.is_two_scale else 1)
    return write_image_bundle(out / NAME, gated, preprocessing, dimension=dimension, trained_on=trained.trained_on)
