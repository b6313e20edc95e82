"""How the joint space is put together, as its file in `training/configs/` says it."""

from dataclasses import dataclass

from training.joint_space.colours import EXAMPLES


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
    described by the first two alone; beside the own classes of others the first two count `beside_own` as much.
    """

    dimension: int
    share: float
    tags_weight: float
    own_temperature: float
    own_least: float
    own_softness: float
    beside_own: float


@dataclass(frozen=True, slots=True)
class ColoursConfig:
    """The block of colours, `share` of an image's length.

    In the score of a sentence and an image, a colour that the sentence names counts `in_words` as much as its meaning.
    """

    share: float
    in_words: float


@dataclass(frozen=True, slots=True)
class JointSpaceConfig:
    """The space of `general`, `general-text` and `general-sketch`."""

    image_px: int
    sketch_px: int
    looks: LooksConfig
    meaning: MeaningConfig
    colours: ColoursConfig

    @property
    def looks_dimension(self) -> int:
        """How many numbers the block of looks has; the first ones."""
        return self.looks.classifier_dimension + self.looks.content_dimension

    @property
    def dimension(self) -> int:
        """How many numbers an embedding has: looks, meaning, colours."""
        return self.looks_dimension + self.meaning.dimension + len(EXAMPLES)
