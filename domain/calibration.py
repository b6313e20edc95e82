"""Calibration: how likely a found image is right, by its score."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Calibration:
    """Of queries by one encoder: an image is right with the probability sigmoid(intercept + slope · score).

    `score` is the cosine of query and image. An image with less than `lowest_score` looks no more like what is asked for than
    images of other things do.
    """

    intercept: float
    slope: float
    lowest_score: float

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.intercept, self.slope, self.lowest_score))):
            raise ValueError("every value of a calibration must be finite")
        if self.slope <= 0:
            raise ValueError("a calibration must rate higher scores higher")

    def confidence(self, score: float) -> float:
        """The probability that an image of this score is right."""
        logit = self.intercept + self.slope * score
        return 1 / (1 + math.exp(-max(-50.0, min(50.0, logit))))
