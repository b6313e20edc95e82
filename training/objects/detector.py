"""Owns which network a run trains: the compact one, or one of Darknet's from its `.cfg`."""

from dataclasses import dataclass
from pathlib import Path

import torch

from encoders.importers.darknet.cfg import parse_cfg
from training.checkpoints.darknet import load_darknet
from training.checkpoints.tensors import CheckpointError, load_strictly, read_checkpoint
from training.config import build
from training.loop import CHECKPOINT
from training.models.yolo import YoloNetwork
from training.objects.config import ObjectsConfig
from training.objects.darknet_cfg import fitted_cfg
from training.objects.network import DetectorNetwork

Detector = DetectorNetwork | YoloNetwork

# The network of a run that trains one of Darknet's, as Darknet itself would read it.
CFG = "network.cfg"


def build_detector(config: ObjectsConfig, run: Path) -> Detector:
    """The network with fresh weights; one of Darknet's is kept as `run`/network.cfg, and read from there ever after."""
    network, data = config.network, config.data
    if not network.cfg:
        return DetectorNetwork(
            size_px=data.size_px,
            widths=network.widths,
            neck=network.neck,
            anchors=network.anchors,
            class_count=len(data.labels),
        )
    if not (run / CFG).exists():
        run.mkdir(parents=True, exist_ok=True)
        text = Path(network.cfg).read_text(encoding="utf-8")
        (run / CFG).write_text(fitted_cfg(text, class_count=len(data.labels), size_px=data.size_px), encoding="utf-8")
    return YoloNetwork(parse_cfg((run / CFG).read_text(encoding="utf-8")))


def load_start(detector: Detector, start: Path, *, cutoff: int) -> None:
    """Begin with the weights of another run's checkpoint, or of Darknet's file; raises CheckpointError."""
    if start.suffix == ".pt":
        load_strictly(detector, read_checkpoint(start)["weights"])
    elif isinstance(detector, YoloNetwork):
        load_darknet(detector, start, cutoff=cutoff or None)
    else:
        raise CheckpointError(f"{start} holds Darknet's weights, but this run's network has no cfg.")


@dataclass(frozen=True, slots=True)
class Trained:
    """A checkpoint's averaged network, on the CPU, with what it was made of."""

    network: Detector
    config: ObjectsConfig
    epochs: int


def trained_detector(run: Path) -> Trained:
    """Read the checkpoint of a run."""
    checkpoint = torch.load(run / CHECKPOINT, weights_only=True, map_location="cpu")
    config = build(ObjectsConfig, checkpoint["config"])
    network = build_detector(config, run)
    network.load_state_dict(checkpoint["weights"])
    return Trained(network.eval(), config, checkpoint["epoch"])
