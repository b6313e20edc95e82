"""The gate that every network passes to become a bundle: what is served must say what was trained."""

import shutil
import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from encoders.bundle import ModelFile
from training.models.served import Inputs, Outputs, batches, torch_outputs
from training.onnx_graph import onnx_outputs, write_onnx
from training.precisions import WEIGHT_BITS, PrecisionError, write_fp16, write_int8

FEWEST_INPUTS = 500
CALIBRATION_INPUTS = 200

LEAST_COSINE = 0.999
MOST_DIFFERENCE = {
    "boxes": 0.002,  # of the image's side: half a pixel of the network's input
    "scores": 0.01,
}
MOST_QUALITY_LOST = 0.01

FILES = {"fp32": "model.onnx", "fp16": "model.fp16.onnx", "int8": "model.int8.onnx"}


class GateError(Exception):
    """The exported graph does not say what the trained network says, so no file is written."""


@dataclass(frozen=True)
class Candidate:
    """A trained network, real inputs of it, and how good its answers to them are.

    `network` is on the CPU; in its place, an fp32 ONNX file whose checkpoint is lost is taken as it is.
    `inputs` are rows by the names and in the order of `forward`'s arguments: `image` uint8 (N, S, S, 3), or `tokens`
    int64 (N, T) and `lengths` int64 (N,). `outputs` is ("embedding",), of unit length, or ("boxes", "scores").
    `quality` gives shares, of which more is better, of an array for each output, in the rows' order.
    `float_parts` are the beginnings of the names of nodes that only float32 computes well enough, such as `/colour/`.
    """

    network: nn.Module | Path
    inputs: Inputs
    outputs: tuple[str, ...]
    quality: Callable[[Outputs], Mapping[str, float]]
    float_parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Gated:
    """The files that passed, by precision, and the figures of all precisions, as a bundle describes them."""

    precisions: dict[str, ModelFile]
    figures: dict[str, Any]


def gate(
    candidate: Candidate,
    folder: Path,
    *,
    keep: Collection[str] = ("fp32", "int8"),
    fewest_inputs: int = FEWEST_INPUTS,
) -> Gated:
    """Export, measure every precision on all inputs, and write to `folder` those of `keep` that are good enough.

    fp32 must answer as torch does: embeddings with a cosine of at least .999 each, boxes within .002 and scores within
    .01. `GateError` where it does not, or where there are too few inputs to tell; `folder` is then as it was. Another
    precision may lose .01 of each figure of `quality`, which fp32's are the measure of. The figures of one that has no
    file say why in `left_out`.
    """
    count = len(next(iter(candidate.inputs.values())))
    if count < fewest_inputs:
        raise GateError(f"{count} inputs are too few to tell; the gate needs {fewest_inputs}.")
    if unknown := set(keep) - FILES.keys():
        raise ValueError(f"{sorted(unknown)} are not precisions; there are {', '.join(FILES)}.")
    with tempfile.TemporaryDirectory() as scratch:
        files = {precision: Path(scratch) / name for precision, name in FILES.items()}
        reference = _write_reference(candidate, files["fp32"])
        exported = onnx_outputs(files["fp32"], candidate.inputs, candidate.outputs)
        measured = {} if reference is None else closeness(candidate.outputs, reference, exported)
        require_close(measured)
        quality = candidate.quality(exported)
        figures: dict[str, Any] = {"inputs": count, "fp32": _rounded({**measured, **quality})}
        for precision in ("fp16", "int8"):
            figures[precision] = _smaller(candidate, precision, files, exported, quality)
        for precision in FILES.keys() - set(keep):
            figures[precision].setdefault("left_out", "not among the precisions that this bundle ships")
        return Gated(_move(files, figures, folder), figures)


def closeness(names: tuple[str, ...], reference: Outputs, outputs: Outputs) -> dict[str, float]:
    """How near outputs are to the reference: cosines of embeddings, largest differences of anything else."""
    if names == ("embedding",):
        cosine = _cosines(reference[0], outputs[0])
        return {"least_cosine": float(cosine.min()), "mean_cosine": float(cosine.mean())}
    return {
        f"largest_difference_of_{name}": float(np.abs(expected - found).max())
        for name, expected, found in zip(names, reference, outputs, strict=True)
    }


def require_close(measured: Mapping[str, float]) -> None:
    """Raise `GateError` where fp32 is off; a figure that is not a number is off too."""
    cosine = measured.get("least_cosine", 1.0)
    if not cosine >= LEAST_COSINE:
        raise GateError(f"An exported embedding has a cosine of {cosine:.5f} to torch's; {LEAST_COSINE} is the least.")
    for name, most in MOST_DIFFERENCE.items():
        difference = measured.get(f"largest_difference_of_{name}", 0.0)
        if not difference <= most:
            raise GateError(f"Exported {name} differ from torch's by {difference:.4f}; {most} is the most.")


def _write_reference(candidate: Candidate, path: Path) -> Outputs | None:
    """Write the fp32 file and return what it has to answer, where torch can tell."""
    if isinstance(candidate.network, Path):
        shutil.copyfile(candidate.network, path)
        return None
    examples = next(batches({name: rows[:2] for name, rows in candidate.inputs.items()}))
    write_onnx(candidate.network, examples, candidate.outputs, path)
    return torch_outputs(candidate.network, candidate.inputs)


def _smaller(
    candidate: Candidate, precision: str, files: Mapping[str, Path], exported: Outputs, quality: Mapping[str, float]
) -> dict[str, Any]:
    """Make one smaller precision and return its figures, with the reason where it is not good enough."""
    try:
        if precision == "fp16":
            write_fp16(files["fp32"], files["fp16"], candidate.float_parts)
        else:
            write_int8(files["fp32"], files["int8"], batches(_calibration(candidate.inputs)), candidate.float_parts)
    except PrecisionError as error:
        return {"left_out": str(error)}
    outputs = onnx_outputs(files[precision], candidate.inputs, candidate.outputs)
    own_quality = candidate.quality(outputs)
    figures: dict[str, Any] = _rounded({**closeness(candidate.outputs, exported, outputs), **own_quality})
    if precision == "int8":
        figures["weight_bits"] = WEIGHT_BITS
    lost = {name: round(quality[name] - own_quality[name], 4) for name in quality}
    if too_much := {name: loss for name, loss in lost.items() if not loss <= MOST_QUALITY_LOST}:
        figures["left_out"] = f"more than {MOST_QUALITY_LOST} lost: {too_much}"
    return figures


def _calibration(inputs: Inputs) -> dict[str, NDArray[Any]]:
    """Rows from all over the inputs, since these are often sorted."""
    count = len(next(iter(inputs.values())))
    rows = np.linspace(0, count - 1, min(count, CALIBRATION_INPUTS)).astype(int)
    return {name: values[rows] for name, values in inputs.items()}


def _move(files: Mapping[str, Path], figures: Mapping[str, Any], folder: Path) -> dict[str, ModelFile]:
    """Put the files that are kept where those of an earlier gate may lie."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = {}
    for precision, made in files.items():
        path = folder / made.name
        if "left_out" in figures[precision]:
            path.unlink(missing_ok=True)
        else:
            shutil.move(made, path)
            kept[precision] = ModelFile.of(path)
    return kept


def _cosines(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    cosines: NDArray[np.float32] = (first * second).sum(axis=1) / lengths
    return cosines


def _rounded(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: round(float(value), 6) for name, value in figures.items()}
