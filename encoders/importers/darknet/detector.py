"""A Darknet detector, `.cfg` and `.weights`, made into a bundle."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from encoders.bundle import Bundle, ModelFile, Preprocessing, Resize
from encoders.errors import BundleError
from encoders.importers.darknet.cfg import read_cfg
from encoders.importers.darknet.graph import build_graph
from encoders.importers.darknet.layers import Network
from encoders.importers.darknet.weights import read_weights
from encoders.importers.publish import new_folder, save_model
from encoders.importers.trial import Trial, trial_images

_MAX_BOXES = 1_000_000  # YOLOv3 at 608 x 608 has 22,743


def import_darknet(
    weights: Path,
    *,
    cfg: Path,
    name: str,
    labels: Sequence[str],
    out: Path,
    letterbox: bool | None = None,
    licence: str = "",
) -> Bundle:
    """Write the bundle `out/name` and load it, verified and tried; where it raises `BundleError` it leaves nothing.

    `letterbox` None asks the `.cfg`: AlexeyAB's Darknet stretches images unless it says `letter_box=1`. pjreddie's
    `detector test` letterboxes always, and its `.cfg` does not say so.
    """
    network = read_cfg(cfg)
    _check_detector(cfg, network, labels)
    is_letterboxed = network.letter_box if letterbox is None else letterbox
    resize: Resize = "letterbox" if is_letterboxed else "squash"
    graph = build_graph(network, read_weights(weights, network))
    with new_folder(out, name) as folder:
        model_file = save_model(graph, folder / "model.onnx")
        _try_out(folder / model_file.file, network)
        Bundle(
            folder=folder,
            name=name,
            version="1",
            kind="detector",
            modalities=("image",),
            preprocessing=Preprocessing(size=(network.input.width, network.input.height), resize=resize),
            precisions={"fp32": model_file},
            labels=tuple(labels),
            licence=licence,
            gate={"imported_from": weights.name, "source_sha256": ModelFile.of(weights).sha256},
        ).write(folder)
        Bundle.load(folder)
    return Bundle.load(out / name)


def _check_detector(cfg: Path, network: Network, labels: Sequence[str]) -> None:
    if network.input.channels != 3:
        raise BundleError(f"{cfg} is for images of {network.input.channels} channels; only 3 are supported.")
    if not network.heads:
        raise BundleError(f"{cfg} has no [yolo] layer, so it finds no objects.")
    boxes = sum(len(head.anchors) * head.shape.height * head.shape.width for head in network.heads)
    if boxes > _MAX_BOXES:
        raise BundleError(f"{cfg} makes {boxes:,} boxes an image, more than {_MAX_BOXES:,}: make its input smaller.")
    counts = {head.classes for head in network.heads}
    if counts != {len(labels)}:
        known = " and ".join(str(count) for count in sorted(counts))
        raise BundleError(f"{cfg} knows {known} classes, but there are {len(labels)} labels: use its own names file.")


def _try_out(path: Path, network: Network) -> None:
    """Run the written file once on one image and once on three."""
    images = trial_images((network.input.width, network.input.height))
    trial = Trial(path)
    for batch in (images[:1], images):
        # Boxes may overflow where the score is 0. NaN as a score makes every box unusable.
        if np.isnan(trial.run({"image": batch})["scores"]).any():
            raise BundleError("The detector's scores are NaN: the weights are damaged or belong to another .cfg.")
