"""Networks that backends are compared by, as bundles with random weights: their time does not depend on the weights.

    python -m benchmarks.networks mobilenet_v3_small resnet50 --out FOLDER [--fp16]

The architectures are torchvision's, cut before the classifier; a folder that has a bundle already keeps it.
"""

import argparse
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import torchvision
from torch import nn

from encoders.bundle import Bundle
from encoders.importers.onnx.embedder import import_onnx
from encoders.importers.onnx.spec import ImageSpec

NAMES = ("mobilenet_v3_small", "resnet18", "resnet50", "vit_b_16")
_SPEC = ImageSpec(
    size=(224, 224),
    resize="shortest_crop",
    shorter_side_px=256,
    mean=(123.675, 116.28, 103.53),
    std=(58.395, 57.12, 57.375),
)
_SEED = 7


def network_bundle(name: str, folder: Path, *, fp16: bool = False) -> Bundle:
    """The bundle `folder/name`, made where it is missing, which takes seconds."""
    if (folder / name).exists():
        return Bundle.load(folder / name)
    torch.manual_seed(_SEED)
    network = torchvision.models.get_model(name, weights=None).eval()
    _cut_classifier(network)
    with TemporaryDirectory() as scratch, warnings.catch_warnings(action="ignore"):
        source = Path(scratch) / f"{name}.onnx"
        axes = {"pixels": {0: "n"}, "features": {0: "n"}}
        torch.onnx.export(
            network,
            (torch.zeros(2, 3, 224, 224),),
            source,
            dynamo=False,
            opset_version=17,
            input_names=["pixels"],
            output_names=["features"],
            dynamic_axes=axes,
        )
        return import_onnx(source, name=name, spec=_SPEC, out=folder, fp16=fp16)


def _cut_classifier(network: nn.Module) -> None:
    for head in ("classifier", "fc", "heads"):
        if hasattr(network, head):
            setattr(network, head, nn.Identity())


def main() -> None:
    """Reads the command line and makes the bundles."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=NAMES)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--fp16", action="store_true")
    arguments = parser.parse_args()
    for name in arguments.names:
        bundle = network_bundle(name, arguments.out, fp16=arguments.fp16)
        print(f"{bundle.name}: {bundle.dimension} numbers, {', '.join(bundle.precisions)}")


if __name__ == "__main__":
    main()
