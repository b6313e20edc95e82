"""A torchvision network by name, made into a bundle: torch exports it in a process of its own, the rest is ONNX."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from encoders.bundle import Bundle
from encoders.importers.onnx_model import import_onnx
from encoders.importers.spec import ImageSpec
from encoders.importers.training_process import run_training


def import_torchvision(
    network: str,
    *,
    weights: Path | None,
    name: str,
    out: Path,
    spec: ImageSpec | None = None,
    labels: Sequence[str] = (),
    licence: str = "",
    attribution: str = "",
) -> Bundle:
    """Write the bundle `out/name` and give it back; raises `BundleError` with the exporter's own sentence.

    `weights` is a local state dict, None downloads torchvision's own; `spec` replaces torchvision's preprocessing.
    """
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / f"{network}.onnx".replace("/", "_")
        source = "--online" if weights is None else f"--weights={weights.resolve()}"
        run_training("training.torchvision_export", f"--out={model}", source, "--", network)
        return import_onnx(
            model,
            name=name,
            spec=spec or ImageSpec.read(model.with_suffix(".json")),
            out=out,
            labels=labels,
            licence=licence,
            attribution=attribution,
        )
