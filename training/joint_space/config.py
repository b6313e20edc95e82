"""How the joint space is put together, as its file in `training/configs/` says it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LooksConfig:
    """The block of looks: directions of the classifier, and of the content network, which weighs `content_weight`."""

    classifier_dimension: int
    content_dimension: int
    content_weight: float


@dataclass(frozen=True, slots=True)
class MeaningConfig:
    """The block of meaning, `share` of an image's length.

    Its parts are weighted sums of labels: the classifier's, the detector's tags, and the own classes of the photos that
    the space was fitted to. Photos less like any of those than `own_least` (a cosine, give or take `own_softness`) are
    described by the first two alone; of the others the first two count `beside_own` as much.
    """

    dimension: int
    share: float
    tags_weight: float
    own_weight: float
    own_temperature: float
    own_least: float
    own_softness: float
    beside_own: float


@dataclass(frozen=True, slots=True)
class JointSpaceConfig:
    """The space of `general`, `general-text` and `general-sketch`."""

    image_px: int
    sketch_px: int
    looks: LooksConfig
    meaning: MeaningConfig

    @property
    def dimension(self) -> int:
        """How many numbers an embedding has."""
        return self.looks.classifier_dimension + self.looks.content_dimension + self.meaning.dimension
