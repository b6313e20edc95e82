"""A torchvision classification network without its classifier, as an ONNX file and the spec of its preprocessing.

    python -m training.torchvision_export resnet18 --weights resnet18.pth --out resnet18.onnx
    python -m training.torchvision_export resnet18 --online --out resnet18.onnx

Writes `resnet18.onnx` (`image` float32 (N, 3, H, W) -> `embedding` (N, D), what the classifier would see) and
`resnet18.json` beside it, both of which `encoders.importers.onnx.embedder` reads.
"""

import argparse
import json
import socket
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision import models

from encoders.errors import BundleError
from encoders.importers.model_file import check_model_file
from encoders.importers.onnx.spec import ImageSpec
from training.checkpoints.tensors import CheckpointError, load_strictly, read_checkpoint, tensors_of
from training.models.served import torch_outputs
from training.onnx_graph import onnx_outputs, write_onnx

# Where torchvision's families keep their classifier.
_HEADS = ("fc", "classifier", "heads", "head")
# Their classifiers are several, and they change the images' scale inside.
_UNSUPPORTED = {"googlenet", "inception_v3"}
# How checkpoints of training scripts wrap the state dict.
_WRAPPERS = ("state_dict", "model", "model_state_dict")
_TIMEOUT_S = 10.0
_MOST_DIFFERENCE = 0.01  # of the embeddings' length: a cosine of .99995


def main(arguments: list[str] | None = None) -> None:
    """Export as the command line says; one line on stderr and exit code 1 for what cannot be exported."""
    parser = argparse.ArgumentParser(prog="python -m training.torchvision_export", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("network", help="torchvision's name of the network, such as resnet18")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--weights", type=Path, help="a file with the network's state dict")
    source.add_argument("--online", action="store_true", help="download torchvision's own weights")
    parser.add_argument("--out", type=Path, required=True, help="the .onnx file to write")
    options = parser.parse_args(arguments)
    socket.setdefaulttimeout(_TIMEOUT_S)  # torchvision downloads without one
    try:
        export_network(options.network, options.weights, options.out)
    except (BundleError, CheckpointError) as error:
        sys.exit(str(error))


def export_network(name: str, weights: Path | None, out: Path) -> None:
    """Write `out` and its spec beside it; `weights` None downloads torchvision's own."""
    if name not in models.list_models(module=models) or name in _UNSUPPORTED:
        raise BundleError(f"torchvision has no classification network {name!r} that can be exported; try resnet18.")
    published = _published_weights(name, weights)
    with warnings.catch_warnings(action="ignore"):  # some families warn about how they draw random weights
        network = models.get_model(name, weights=None).eval()
    head = remove_head(network)
    tensors = _download(published) if weights is None else _read_tensors(weights)
    load_strictly(network, tensors, unused=[f"{head}."])
    spec = _spec(published.transforms())
    _write_onnx(network, spec, out)
    out.with_suffix(".json").write_text(json.dumps(spec.as_json(), indent=2) + "\n", encoding="utf-8")


def _published_weights(name: str, weights: Path | None) -> Any:
    """The torchvision weights that a file is a copy of, by its name, and the family's default otherwise."""
    published = models.get_model_weights(name)
    matches = [entry for entry in published if weights and entry.url.endswith(f"/{weights.name}")]
    return matches[0] if matches else published.DEFAULT


def remove_head(network: nn.Module) -> str:
    """Replace the last linear layer by nothing; returns its name in the state dict."""
    for name in _HEADS:
        head = getattr(network, name, None)
        if isinstance(head, nn.Linear):
            setattr(network, name, nn.Identity())
            return name
        if isinstance(head, nn.Sequential):
            inner, layer = list(head.named_children())[-1]
            if isinstance(layer, nn.Linear):
                setattr(head, inner, nn.Identity())
                return f"{name}.{inner}"
    raise BundleError(f"{type(network).__name__} does not end in a linear classifier: export it to ONNX by hand.")


def _download(published: Any) -> Mapping[str, Tensor]:
    try:
        tensors: Mapping[str, Tensor] = published.get_state_dict(progress=False, check_hash=True)
    except OSError as error:
        raise BundleError(
            f"torchvision's weights could not be downloaded from {published.url} ({error}): check the connection, or "
            "give a local file with --weights."
        ) from error
    return tensors


def _read_tensors(path: Path) -> Mapping[str, Tensor]:
    """The tensors of a checkpoint by name."""
    check_model_file(path)
    content = read_checkpoint(path)
    for wrapper in _WRAPPERS:
        if isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    return tensors_of(content)


def _spec(transforms: Any) -> ImageSpec:
    crop_px, shorter_side_px = transforms.crop_size[0], transforms.resize_size[0]
    return ImageSpec(
        size=(crop_px, crop_px),
        resize="shortest_crop",
        shorter_side_px=shorter_side_px,
        interpolation=transforms.interpolation.value,
        scale=1 / 255,
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
        input="image",
        output="embedding",
    )


def _write_onnx(network: nn.Module, spec: ImageSpec, out: Path) -> None:
    width_px, height_px = spec.size
    images = torch.randn(2, 3, height_px, width_px, generator=torch.Generator().manual_seed(0))
    inputs, outputs = {spec.input: images.numpy()}, [spec.output]
    write_onnx(network, inputs, outputs, out)
    (expected,), (found,) = torch_outputs(network, inputs), onnx_outputs(out, inputs, outputs)
    difference = float(np.linalg.norm(found - expected)) / max(float(np.linalg.norm(expected)), 1e-30)
    if not difference <= _MOST_DIFFERENCE:
        out.unlink()
        raise BundleError(f"The ONNX graph does not give what torch gives: they differ by {difference:.2%}.")


if __name__ == "__main__":
    main()
