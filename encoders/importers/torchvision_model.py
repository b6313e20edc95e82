"""A torchvision network by name, made into a bundle: torch exports it in a process of its own, the rest is ONNX."""

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from encoders.bundle import Bundle
from encoders.errors import BundleError
from encoders.importers.onnx_model import import_onnx
from encoders.importers.spec import ImageSpec

_MAX_EXPORT_S = 1_800  # a download is part of it


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
    if importlib.util.find_spec("torchvision") is None:
        raise BundleError("torchvision networks need torch and torchvision: install fovea[training].")
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / f"{network}.onnx".replace("/", "_")
        _export(network, weights, model)
        return import_onnx(
            model,
            name=name,
            spec=spec or ImageSpec.read(model.with_suffix(".json")),
            out=out,
            labels=labels,
            licence=licence,
            attribution=attribution,
        )


def _export(network: str, weights: Path | None, model: Path) -> None:
    source = ["--online"] if weights is None else [f"--weights={weights.resolve()}"]
    command = [sys.executable, "-m", "training.torchvision_export", f"--out={model}", *source, "--", network]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_MAX_EXPORT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise BundleError(f"Exporting {network} took more than {_MAX_EXPORT_S // 60} minutes.") from error
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise BundleError(lines[-1] if lines else f"Exporting {network} failed without a word.")
