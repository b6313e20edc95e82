"""What lies in a slot: an input as the model reads it, or its answer, as bytes and back."""

import numpy as np

from encoders.bundle import Bundle
from encoders.serving.session import Embedding, ModelInput, RawDetections
from services.encoder.fronts.slots import RawBytes

_FLOAT_BYTES = 4
_TOKEN_BYTES = 8
_CORNERS = 4


def input_bytes(bundle: Bundle) -> int:
    """The most bytes that one input takes."""
    if bundle.kind == "text":
        return _TOKEN_BYTES * (bundle.max_tokens or 1)
    width_px, height_px = bundle.image_preprocessing.size
    return width_px * height_px * 3


def input_of(bundle: Bundle, raw: RawBytes) -> ModelInput:
    """The input whose bytes these are; it shares their memory."""
    if bundle.kind == "text":
        return raw.view(np.int64)
    width_px, height_px = bundle.image_preprocessing.size
    return raw.reshape(height_px, width_px, 3)


def arrays_of(answer: Embedding | RawDetections) -> tuple[Embedding, ...]:
    """The arrays of an answer, in the order in which they lie in a slot."""
    arrays = (answer.boxes, answer.scores) if isinstance(answer, RawDetections) else (answer,)
    return tuple(array.astype(np.float32, copy=False) for array in arrays)


def answer_of(bundle: Bundle, raw: RawBytes) -> Embedding | RawDetections:
    """The answer whose bytes these are, in memory of its own."""
    values: Embedding = raw.view(np.float32).copy()
    if not bundle.is_detector:
        return values
    classes = len(bundle.labels)
    rows = raw.size // (_FLOAT_BYTES * (_CORNERS + classes))
    boxes, scores = values[: rows * _CORNERS], values[rows * _CORNERS :]
    return RawDetections(boxes.reshape(rows, _CORNERS), scores.reshape(rows, classes))
