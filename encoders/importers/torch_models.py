"""Models that only torch can read: `training` exports them in a process of its own, and the result is a bundle.

Nothing here limits that process; `import_apart` does.
"""

import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

from encoders.bundle import Bundle
from encoders.errors import BundleError
from encoders.importers.onnx.embedder import import_onnx
from encoders.importers.onnx.spec import ImageSpec

# A checkpoint does not say how its network computes, so each way has a name; `clip` is OpenAI's, `clip-gelu` OpenCLIP's.
NETWORKS = (
    "dcmpl",
    "dcmpl-bidirectional",
    "taskformer",
    "clip",
    "clip-gelu",
    "compcars",
    "compcars-attention",
    "compcars-two-scale",
)


def import_torchvision(
    network: str,
    *,
    weights: Path | None,
    name: str,
    out: Path,
    spec: ImageSpec | None = None,
    licence: str = "",
) -> Bundle:
    """Write the bundle `out/name` of a torchvision network; raises `BundleError` with the exporter's own sentence.

    `weights` is a local state dict, None downloads torchvision's own; `spec` replaces torchvision's preprocessing.
    """
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / f"{network}.onnx".replace("/", "_")
        source = "--online" if weights is None else f"--weights={weights.resolve()}"
        _run_training("training.torchvision_export", f"--out={model}", source, "--", network)
        spec = spec or ImageSpec.read(model.with_suffix(".json"))
        return import_onnx(model, name=name, spec=spec, out=out, licence=licence)


def import_published(
    network: str, checkpoint: Path | None, *, name: str, out: Path, words: Path | None = None, licence: str = ""
) -> tuple[Bundle, ...]:
    """Write `out/name`, and bundles of other modalities in the same space; where it raises `BundleError` it leaves nothing.

    `network` is one of `NETWORKS`; `checkpoint` None downloads OpenAI's CLIP. `words` is the list of words that a
    pedestrian checkpoint was trained with.
    """
    options = [f"--name={name}", f"--out={out.resolve()}", f"--licence={licence}"]
    if words is not None:
        options.append(f"--words={words.resolve()}")
    source = ["--online", "--", network] if checkpoint is None else ["--", network, str(checkpoint.resolve())]
    folders = _run_training("training.published", *options, *source)
    return tuple(Bundle.load(Path(folder)) for folder in folders)


def _run_training(module: str, *arguments: str) -> list[str]:
    """Run `python -m module arguments` and return the lines that it prints; `BundleError` with its own last sentence."""
    if any(importlib.util.find_spec(package) is None for package in ("training", "torchvision")):
        raise BundleError(
            "This model is read by the package fovea-training, which brings torch: install it beside fovea, in a checkout "
            "with `make venv-training`."
        )
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode < 0:
        raise BundleError(f"The import was ended by signal {-done.returncode}; was there enough memory?")
    if done.returncode != 0:
        raise BundleError((done.stderr.strip().splitlines() or ["The import failed without a message."])[-1])
    return done.stdout.splitlines()
