"""Makes the detector's bundle of a checkpoint that passes the gate."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from encoders.bundle import Bundle, Preprocessing
from encoders.images.pixels import Pixels
from encoders.images.resizing import resize
from training.average_precision import average_precision
from training.datasets.annotated import AnnotatedPicture
from training.datasets.pictures import open_picture
from training.gate import FEWEST_INPUTS, Candidate, Outputs, gate
from training.objects.answers import SHOWN_SCORE, detections_of
from training.objects.config import DataConfig
from training.objects.detector import Detector, trained_detector
from training.regate import regated

BUNDLE = "detector"
VERSION = "1"
LICENCE = "Apache-2.0"
# Raw answers to more pictures than this fill the memory.
MOST_PICTURES = 500


def export(
    run: Path,
    held_out: Sequence[AnnotatedPicture],
    empty: Sequence[Path],
    out: Path,
    *,
    fewest_inputs: int = FEWEST_INPUTS,
) -> Bundle:
    """Gate the run's averaged weights and write `out`/detector.

    The gate looks at the first 500 of `held_out`, and at photos where there is nothing to be found.
    """
    trained = trained_detector(run)
    data = trained.config.data
    gated = gate(
        _candidate(trained.network, data, held_out[:MOST_PICTURES], empty[:MOST_PICTURES]),
        out / BUNDLE,
        fewest_inputs=fewest_inputs,
    )
    bundle = Bundle(
        folder=out / BUNDLE,
        name=BUNDLE,
        version=VERSION,
        kind="detector",
        modalities=("image",),
        preprocessing=data.preprocessing,
        precisions=gated.precisions,
        labels=data.labels,
        licence=LICENCE,
        attribution=trained.config.attribution,
        trained_on=f"{trained.config.trained_on}; {trained.epochs} epochs, seed {trained.config.seed}",
        gate=gated.figures,
    )
    bundle.write(bundle.folder)
    return bundle


def regate(folder: Path, held_out: Sequence[AnnotatedPicture], empty: Sequence[Path], data: DataConfig) -> Bundle:
    """Gate the fp32 file of a bundle whose checkpoint is gone, and write the smaller precisions anew."""
    bundle = Bundle.load(folder)
    return regated(bundle, _candidate(bundle.path_of("fp32"), data, held_out[:MOST_PICTURES], empty[:MOST_PICTURES]))


def _candidate(
    network: Detector | Path, data: DataConfig, held_out: Sequence[AnnotatedPicture], empty: Sequence[Path]
) -> Candidate:
    """The network with pictures as it is served them; its quality is what it finds, and that it finds nothing more."""
    paths = [*(picture.path for picture in held_out), *empty]

    def quality(outputs: Outputs) -> dict[str, float]:
        boxes, scores = outputs
        found = detections_of(
            boxes[: len(held_out)], scores[: len(held_out)], held_out, data.labels, data.preprocessing
        )
        figures = {"held_out_map50": average_precision(found, held_out, data.labels).at_half}
        if empty:
            strongest = scores[len(held_out) :].max(axis=(1, 2))
            figures["photos_without_false_alarm"] = float((strongest < SHOWN_SCORE).mean())
        return figures

    return Candidate(
        network=network,
        inputs={"image": np.stack([_input(path, data.preprocessing) for path in paths])},
        outputs=("boxes", "scores"),
        quality=quality,
    )


def _input(path: Path, preprocessing: Preprocessing) -> Pixels:
    return resize(np.asarray(open_picture(path)), preprocessing)
