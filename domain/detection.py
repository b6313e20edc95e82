"""One object in an image."""

from dataclasses import dataclass

from domain.box import Box


@dataclass(frozen=True, slots=True)
class Detection:
    """What a detector found: `score` is 0..1, `class_id` the position of `label` among the detector's labels."""

    box: Box
    label: str
    score: float
    class_id: int
