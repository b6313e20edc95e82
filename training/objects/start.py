"""Owns the weights that a run begins with: those of another run, or Darknet's."""

from pathlib import Path

from training.checkpoints.darknet import load_darknet
from training.checkpoints.tensors import CheckpointError, load_strictly, read_checkpoint
from training.models.yolo import YoloNetwork
from training.objects.detector import Detector


def load_start(detector: Detector, start: Path, *, cutoff: int) -> None:
    """Begin with the weights of another run's checkpoint, or of Darknet's file; raises CheckpointError."""
    if start.suffix == ".pt":
        load_strictly(detector, read_checkpoint(start)["weights"])
    elif isinstance(detector, YoloNetwork):
        load_darknet(detector, start, cutoff=cutoff or None)
    else:
        raise CheckpointError(f"{start} holds Darknet's weights, but this run's network has no cfg.")
