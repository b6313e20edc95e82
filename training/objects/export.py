"""Makes the detector's bundle of a checkpoint that passes the gate."""

from collections.abc import Callable, Sequence
from pathlib import Path

from encoders.bundle import Bundle
from training.average_precision import average_precision
from training.bundles import Finished, finished, regated, write_bundle
from training.checkpoints.darknet import save_darknet
from training.datasets.annotated import AnnotatedImage
from training.decoded import decoded
from training.gate import FEWEST_INPUTS, Candidate, gate
from training.models.served import Outputs
from training.models.yolo import YoloNetwork
from training.objects.config import DataConfig, ObjectsConfig
from training.objects.detector import SHOWN_SCORE, Detector, build_detector, detections_of
from training.photos import grocery_photos
from world.kinds import LABELS

BUNDLE = "drawn-detector"
# Raw answers to more images than this fill the memory.
MOST_IMAGES = 500


def trained_detector(run: Path) -> tuple[Detector, Finished[ObjectsConfig]]:
    """The averaged network of a run, in its evaluation mode, and what it was made of."""
    trained = finished(run, ObjectsConfig)
    network = build_detector(trained.config, run)
    network.load_state_dict(trained.weights)
    return network.eval(), trained


def export(
    run: Path,
    held_out: Sequence[AnnotatedImage],
    empty: Sequence[Path],
    out: Path,
    *,
    fewest_inputs: int = FEWEST_INPUTS,
) -> Bundle:
    """Gate the run's averaged weights and write `out`/drawn-detector.

    The gate looks at the first 500 of `held_out`, and at photos where there is nothing to be found.
    """
    network, trained = trained_detector(run)
    data = trained.config.data
    gated = gate(
        _candidate(network, data, held_out[:MOST_IMAGES], empty[:MOST_IMAGES]),
        out / BUNDLE,
        fewest_inputs=fewest_inputs,
    )
    return write_bundle(
        out / BUNDLE,
        gated,
        kind="detector",
        modalities=("image",),
        preprocessing=data.preprocessing,
        labels=data.labels,
        attribution=trained.config.attribution,
        trained_on=trained.trained_on,
    )


def regate(folder: Path, held_out: Sequence[AnnotatedImage], empty: Sequence[Path], data: DataConfig) -> Bundle:
    """Gate the fp32 file of a bundle whose checkpoint is lost, and write the smaller precisions anew."""
    bundle = Bundle.load(folder)
    return regated(bundle, _candidate(bundle.path_of("fp32"), data, held_out[:MOST_IMAGES], empty[:MOST_IMAGES]))


def photos_of_nothing(realdata: Path, data: DataConfig) -> list[Path]:
    """Photos of groceries, where they are at hand: none shows anything of the drawn world."""
    folder = realdata / "grocery"
    if data.labels != LABELS or not folder.is_dir():
        return []
    return [photo.path for photo in grocery_photos(folder, "val")]


def write_weights(run: Path, image_count: Callable[[ObjectsConfig], int]) -> None:
    """Write the run's network as Darknet reads it; `image_count` counts the images that a run trains on."""
    network, trained = trained_detector(run)
    if not isinstance(network, YoloNetwork):
        raise SystemExit("This run's network has no .cfg, so Darknet cannot read it.")
    save_darknet(network, run / "network.weights", images_seen=trained.epochs * image_count(trained.config))


def _candidate(
    network: Detector | Path, data: DataConfig, held_out: Sequence[AnnotatedImage], empty: Sequence[Path]
) -> Candidate:
    """The network with images as it is served them; its quality is what it finds, and that it finds nothing more."""
    paths = [*(image.path for image in held_out), *empty]

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
        inputs={"image": decoded(paths, data.preprocessing)},
        outputs=("boxes", "scores"),
        quality=quality,
    )
