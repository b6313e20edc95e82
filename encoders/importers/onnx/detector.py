"""An ONNX detector and its spec, made into a bundle: every claim is tried."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from onnx import ModelProto

from encoders.bundle import Bundle, ModelFile
from encoders.errors import BundleError
from encoders.importers.onnx.batching import Outputs, TriedGraph, repeated, try_batches
from encoders.importers.onnx.detector_graph import Shape, raw_output, row_length, surround_detector, surround_raw
from encoders.importers.onnx.detector_spec import DetectorSpec, Head
from encoders.importers.onnx.file import read_onnx
from encoders.importers.onnx.graphs import prune, refuse_training_mode
from encoders.importers.onnx.precisions import save_precisions
from encoders.importers.onnx.signature import fixed_batch, image_input, inputs_of
from encoders.importers.publish import new_folder
from encoders.importers.trial import Trial, trial_images

# What exporters call the outputs, in the order of the head.
_USUAL_OUTPUTS: Mapping[Head, Sequence[Sequence[str]]] = {
    "dense": (("output0",), ("output",)),
    "ranked": (("output0",), ("output",)),
    "pair": (("pred_boxes", "logits"), ("boxes", "scores")),
    "listed": (
        ("detection_boxes", "detection_scores", "detection_classes", "num_detections"),
        ("boxes", "scores", "labels"),
    ),
}
_MAX_BOXES = 1_000_000
# A score of 1 may come out a little larger.
_SCORE_TOLERANCE = 1e-3
# Boxes of a trained detector seldom reach so far beyond the image; in the wrong unit they reach hundreds of times.
_FAR = 8.0


def import_detector(
    source: Path,
    *,
    name: str,
    spec: DetectorSpec,
    labels: Sequence[str],
    out: Path,
    licence: str = "",
    fp16: bool = False,
) -> Bundle:
    """Write the bundle `out/name` and load it, verified and tried; where it raises `BundleError` it leaves nothing."""
    tried = _make_detector(read_onnx(source), spec, len(labels))
    warnings = [warning for warning in (spec.image.warning, _unit_warning(tried.outputs, spec)) if warning]
    with new_folder(out, name) as folder:
        first_image = {"image": trial_images(spec.image.size)[:1]}
        files, gate = save_precisions(tried, folder, first_image, precision=spec.image.precision, fp16=fp16)
        Bundle(
            folder=folder,
            name=name,
            version="1",
            kind="detector",
            modalities=("image",),
            preprocessing=spec.image.preprocessing,
            precisions=files,
            max_batch=tried.max_batch,
            max_overlap=spec.detector.served_overlap,
            labels=tuple(labels),
            licence=licence,
            gate={"imported_from": source.name, "source_sha256": ModelFile.of(source).sha256, **gate}
            | ({"warnings": warnings} if warnings else {}),
        ).write(folder)
    return Bundle.load(out / name)


def _make_detector(model: ModelProto, spec: DetectorSpec, classes: int) -> TriedGraph:
    outputs = _outputs(model, spec)
    prune(model.graph, *outputs)
    refuse_training_mode(model.graph)
    head = spec.detector
    further = tuple(name for name in (head.image_size, head.pixel_mask) if name)
    for name in further:
        if name not in inputs_of(model):
            raise BundleError(f"The model has no input {name!r}; its inputs are {', '.join(inputs_of(model))}.")
    image = image_input(model, spec.image, further)
    batch, images = fixed_batch(model, image, spec.image, further), trial_images(spec.image.size)
    raw = Trial(surround_raw(model, spec, source=image.name, outputs=outputs, batch=batch)).run(
        repeated({"image": images[:1]}, batch)
    )
    shapes = [raw[raw_output(number)].shape for number in range(len(outputs))]
    _check_shapes(shapes, spec, outputs, classes, batch)

    def surround(opened: ModelProto, count: int | None) -> ModelProto:
        return surround_detector(
            opened, spec, source=image.name, outputs=outputs, shapes=shapes, classes=classes, batch=count
        )

    return try_batches(
        model,
        surround,
        tensors=outputs,
        singles=[{"image": image[None]} for image in images],
        together={"image": images},
        batch=batch,
        check=_check_scores,
    )


def _outputs(model: ModelProto, spec: DetectorSpec) -> tuple[str, ...]:
    """The tensors that the spec names, the usual ones, or the only one."""
    known = [value.name for value in model.graph.output]
    made = {output for node in model.graph.node for output in node.output}
    named = spec.detector.outputs
    for name in named:
        if name not in made:
            raise BundleError(f"The model has no output {name!r}; its outputs are {', '.join(known)}.")
    if named:
        return named
    for usual in _USUAL_OUTPUTS[spec.detector.head]:
        if set(usual) <= set(known):
            return tuple(usual)
    if len(known) == 1 and spec.detector.head in {"dense", "ranked"}:
        return (known[0],)
    raise BundleError(
        f"The spec must name detector.outputs for the head {spec.detector.head}; the model's are {', '.join(known)}."
    )


def _check_shapes(
    shapes: Sequence[Shape], spec: DetectorSpec, outputs: Sequence[str], classes: int, batch: int
) -> None:
    """Raise `BundleError` unless the outputs have the shapes of the head for this number of labels."""
    head = spec.detector.head
    rows, scored = row_length(spec, classes), classes + int(spec.detector.no_object != "none")
    shown = ", ".join(f"{name} {' x '.join(map(str, shape))}" for name, shape in zip(outputs, shapes, strict=True))
    first = shapes[0]
    match head:
        case "dense":
            fits, expected = len(first) == 3 and rows in first[1:], f"{rows} numbers for each box"
        case "ranked":
            fits, expected = len(first) == 3 and first[2] == 6, "6 numbers for each box: box, score, class"
        case "pair":
            fits = len(first) == 3 and first[2] == 4 and shapes[1] == (*first[:2], scored)
            expected = f"boxes of 4 numbers, and {scored} scores for each"
        case "listed":
            lists = set(shapes[1:3])
            fits, expected = (
                lists == {first[:-1]} and first[-1:] == (4,),
                "boxes of 4 numbers, a score and a class for each",
            )
    if not fits or (len(first) == 3 and first[0] != batch):
        raise BundleError(
            f"The outputs are {shown}; a head {head!r} with {classes} labels has {expected} (N first): check the "
            "labels and the spec's detector."
        )
    if max(first[1:], default=0) > _MAX_BOXES:
        raise BundleError(f"The detector makes more than {_MAX_BOXES:,} boxes an image: make its input smaller.")


def _check_scores(outputs: Outputs) -> None:
    scores = outputs["scores"]
    if np.isnan(scores).any():
        raise BundleError("The detector's scores are NaN: check the spec's dtype, scale, mean and std.")
    if scores.size and (scores.min() < -_SCORE_TOLERANCE or scores.max() > 1 + _SCORE_TOLERANCE):
        raise BundleError(
            f"The detector's scores go from {scores.min():.3g} to {scores.max():.3g}, not from 0 to 1: "
            'give the spec a detector.activation of "sigmoid" or "softmax", or another order of outputs.'
        )


def _unit_warning(outputs: Outputs, spec: DetectorSpec) -> str:
    boxes = outputs["boxes"][np.isfinite(outputs["boxes"]).all(axis=2)]
    if not len(boxes):
        return ""
    reach = float(np.median(np.abs(boxes).max(axis=1)))
    longest_px = max(spec.image.size)
    if spec.detector.box_unit == "normalized" and reach > _FAR:
        return f'Boxes reach {reach:.0f} times the image: they may be in pixels ("unit": "pixels").'
    if spec.detector.box_unit == "pixels" and reach < _FAR / longest_px:
        return f'Boxes reach {reach * longest_px:.2g} pixels: they may be normalized ("unit": "normalized").'
    return ""
