"""One of the networks of a published checkpoint, and what its bundle must know to serve it."""

from dataclasses import dataclass
from typing import Self

from domain.modality import Modality
from encoders.bundle import Kind, Preprocessing, TextCleaning
from training.models.served import ImageEncoder, TextEncoder


@dataclass(frozen=True, slots=True)
class Part:
    """A network that embeds images after `preprocessing`, or texts that `tokenizer_json` splits into tokens after `text_cleaning`.

    Its bundle is called as the whole checkpoint, with `suffix` behind.
    """

    network: ImageEncoder | TextEncoder
    modalities: tuple[Modality, ...]
    suffix: str = ""
    preprocessing: Preprocessing | None = None
    tokenizer_json: str = ""
    max_tokens: int | None = None
    text_cleaning: TextCleaning | None = None

    @classmethod
    def of_texts(
        cls,
        network: TextEncoder,
        tokenizer_json: str,
        max_tokens: int,
        text_cleaning: TextCleaning | None = None,
    ) -> Self:
        """Describe the part that reads texts."""
        return cls(
            network,
            ("text",),
            "-text",
            tokenizer_json=tokenizer_json,
            max_tokens=max_tokens,
            text_cleaning=text_cleaning,
        )

    @property
    def kind(self) -> Kind:
        """Tell what it mostly embeds: photos, where one network embeds photos and sketches."""
        return self.modalities[0]
