"""The data plane: the one way to the models, for EncoderService, DetectorService and the Open Inference Protocol."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from grpc import ServicerContext

from domain.limits import MAX_INPUTS, MAX_RESULTS
from encoders.bundle import Bundle
from encoders.images.pixels import Pixels
from encoders.serving.detection import postprocess
from encoders.serving.session import Embedding
from rpc.clients import Detected
from rpc.errors import InvalidArgument, NotFound, ServiceError
from rpc.observer import STAGE_DURATION
from rpc.priority import Priority
from services.encoder.admission import CallAdmission
from services.encoder.call import ModelCall, StageTimings
from services.encoder.models import Models
from services.encoder.readers import EncoderInput
from services.encoder.served_model import Detector, Encoder, ServedModel

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class EncodedInputs:
    """An embedding or an error for each input, or for each of its regions, in order; `warnings` are by position."""

    outcomes: Sequence[Embedding | ServiceError]
    warnings: Mapping[int, tuple[str, ...]]
    timings: StageTimings


class DataPlane:
    """Finds models by name and opens, times and runs calls on them; failures are ServiceErrors."""

    def __init__(self, models: Models, admission: CallAdmission) -> None:
        self.encoders = models.encoders
        self.detectors = models.detectors
        self.is_ready = models.are_ready
        self._admission = admission

    def encoder(self, name: str) -> Encoder:
        """The encoder called `name`, or the only one for an empty name."""
        return _named_or_only(self.encoders, name, "encoder")

    def detector(self, name: str) -> Detector:
        """The detector called `name`, or the only one for an empty name."""
        return _named_or_only(self.detectors, name, "detector")

    def model(self, name: str, version: str) -> ServedModel[Any]:
        """The encoder or detector called `name`; an empty version stands for the one that is served."""
        served: dict[str, ServedModel[Any]] = {**self.encoders, **self.detectors}
        return _named(served, name, "model", version)

    def encode(
        self,
        encoder: Encoder,
        inputs: Iterable[EncoderInput],
        context: ServicerContext,
        priority: Priority | None = None,
    ) -> EncodedInputs:
        """Embed inputs, which are counted with `require_counts` before; one bad input or region fails alone."""
        started_s = time.perf_counter()
        # Read here, so that the conversion of the inputs is part of the total.
        readable = [_readable(position, item, encoder.bundle) for position, item in enumerate(inputs)]
        with self._admission.call(context, sum(len(item.parts) for item in readable), priority) as call:
            outcomes = encoder.run(readable, call)
        return EncodedInputs(outcomes, call.warnings, _timed(call, started_s))

    def encode_tensor(
        self, encoder: Encoder, images: Sequence[Pixels], context: ServicerContext, priority: Priority | None
    ) -> EncodedInputs:
        """Embed pixels (H, W, 3) that already have the input's size."""
        started_s = time.perf_counter()
        with self._admission.call(context, len(images), priority) as call:
            outcomes = encoder.run_prepared(images, call)
        return EncodedInputs(outcomes, call.warnings, _timed(call, started_s))

    def detect(
        self,
        detector: Detector,
        image: bytes,
        context: ServicerContext,
        *,
        min_score: float,
        limit: int,
        priority: Priority | None = None,
    ) -> tuple[Detected, StageTimings]:
        """Find at most `limit` objects of one image."""
        started_s, bundle = time.perf_counter(), detector.bundle
        # The suppression of overlapping boxes runs inside the call: it is work that admission has to bound.
        with self._admission.call(context, 1, priority) as call:
            (raw,) = detector.run([EncoderInput("image", image)], call)
            if isinstance(raw, ServiceError):
                raise raw
            image_px, preprocessing = call.image_px[0], bundle.image_preprocessing
            detections = postprocess(
                raw,
                labels=bundle.labels,
                image_px=image_px,
                preprocessing=preprocessing,
                min_score=min_score,
                limit=limit,
                max_overlap=bundle.max_overlap,
            )
        return Detected(tuple(detections), *image_px, call.warnings[0]), _timed(call, started_s)


def require_counts(inputs: int, *, results: int = 0, field: str = "inputs") -> None:
    """Refuse no inputs and too many, by their numbers alone: a message of 64 MiB can hold millions of empty ones."""
    if not 1 <= inputs <= MAX_INPUTS:
        raise InvalidArgument(f"{field}: send 1 to {MAX_INPUTS} in one call, not {inputs}")
    if results > MAX_RESULTS:
        raise InvalidArgument(f"{field}: ask for at most {MAX_RESULTS} results in one call, not {results}")


def _named(served: Mapping[str, ServedModel[Answer]], name: str, kind: str, version: str = "") -> ServedModel[Answer]:
    model = served.get(name)
    if model is None or version not in {"", model.bundle.version}:
        asked = f"{name!r} {version}".rstrip()
        raise NotFound(f"{kind}: {asked} is not served here; there is {', '.join(sorted(served)) or 'none'}")
    return model


def _named_or_only(served: Mapping[str, ServedModel[Answer]], name: str, kind: str) -> ServedModel[Answer]:
    if not name and len(served) > 1:
        raise InvalidArgument(f"{kind}: several are served, so name one of them: {', '.join(sorted(served))}")
    return _named(served, name or next(iter(served), ""), kind)


def _readable(position: int, item: EncoderInput, bundle: Bundle) -> EncoderInput:
    """The input, which the bundle must be able to read."""
    if item.modality not in bundle.modalities:
        known = " or ".join(bundle.modalities)
        raise InvalidArgument(f"inputs[{position}]: {bundle.name} reads {known}, not {item.modality}")
    if item.parts != (None,) and item.modality != "image":
        field = "regions" if item.regions else "region"
        raise InvalidArgument(f"inputs[{position}].{field}: only an image has regions, not a {item.modality}")
    return item


def _timed(call: ModelCall[Any], started_s: float) -> StageTimings:
    """The stages of a call that ends now, which become part of the metrics."""
    timings = call.timings
    timings.total_s = time.perf_counter() - started_s
    for name, seconds in (("decode", timings.decode_s), ("queue", timings.queue_s), ("infer", timings.infer_s)):
        STAGE_DURATION.observe((name,), seconds)
    return timings
