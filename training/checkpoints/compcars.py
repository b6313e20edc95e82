"""Owns the published form of CompCars checkpoints, `model.ep<N>`: a bare dictionary of tensors."""

from pathlib import Path

from training.checkpoints.tensors import CheckpointError, load_strictly, read_checkpoint, tensors_of
from training.models.compcars import CompCars, CompCarsConfig, Pooling

# The classifier of ImageNet, which is written and never asked; and attention, which only its own pooling asks.
UNUSED = ("resnet.fc.",)
ATTENTION = ("sa.",)


def load_compcars(path: Path, *, pooling: Pooling = "power", is_two_scale: bool = False) -> CompCars:
    """Build the network that a checkpoint was written by and fill it.

    Takes files of both revisions: the first has neither attention (`sa`) nor classifier (`fc1`). How the network is
    asked, `pooling` and `is_two_scale`, is not in the file.
    """
    tensors = tensors_of(read_checkpoint(path))
    classifier = tensors.get("fc1.weight")
    config = CompCarsConfig(
        backbone="resnet50" if "resnet.layer1.0.conv3.weight" in tensors else "resnet18",
        pooling=pooling,
        is_two_scale=is_two_scale,
        classes=0 if classifier is None else len(classifier),
    )
    network = CompCars(config)
    try:
        load_strictly(network, tensors, unused=UNUSED if pooling == "attention" else UNUSED + ATTENTION)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    if not network.p.item() > 0:
        raise CheckpointError(f"{path}: the pooling's power p is {network.p.item():g}; it must be above 0.")
    return network.eval()
