"""Shared values as messages of the contract, and back."""

from collections.abc import Iterable, Mapping

from domain.box import Box
from domain.detection import Detection
from domain.exif import Exif
from domain.modality import Modality
from fovea.detector.v1 import detector_pb2
from fovea.types.v1 import types_pb2

_MODALITY_NUMBERS: Mapping[Modality, types_pb2.Modality.ValueType] = {
    "image": types_pb2.MODALITY_IMAGE,
    "sketch": types_pb2.MODALITY_SKETCH,
    "text": types_pb2.MODALITY_TEXT,
}
_MODALITIES: Mapping[int, Modality] = {number: modality for modality, number in _MODALITY_NUMBERS.items()}


def box_of(message: types_pb2.Box) -> Box:
    """The box that a message holds."""
    return message.x_min, message.y_min, message.x_max, message.y_max


def box_message(box: Box) -> types_pb2.Box:
    """The message that holds a box."""
    x_min, y_min, x_max, y_max = box
    return types_pb2.Box(x_min=x_min, y_min=y_min, x_max=x_max, y_max=y_max)


def detection_of(message: detector_pb2.Detection) -> Detection:
    """The detection that a message holds."""
    return Detection(box_of(message.box), message.label, message.score, message.class_id)


def detection_message(detection: Detection) -> detector_pb2.Detection:
    """The message that holds a detection."""
    return detector_pb2.Detection(
        box=box_message(detection.box),
        label=detection.label,
        score=detection.score,
        class_id=detection.class_id,
    )


def exif_message(exif: Exif) -> types_pb2.Exif | None:
    """The message that holds what is known of a camera's facts; None where nothing is."""
    return types_pb2.Exif(**exif.known) if exif.known else None  # type: ignore[arg-type]  # the names are the fields'


def modalities_of(numbers: Iterable[int]) -> frozenset[Modality]:
    """The modalities of a message; what later releases add is left out."""
    return frozenset(_MODALITIES[number] for number in numbers if number in _MODALITIES)


def modality_numbers(modalities: Iterable[Modality]) -> list[types_pb2.Modality.ValueType]:
    """The modalities as numbers of the contract, in the same order."""
    return [_MODALITY_NUMBERS[modality] for modality in modalities]
