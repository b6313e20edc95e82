"""Owns the colours of images by their names, the eleven basic colour terms (Berlin and Kay, 1969), and those words in sentences."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn

# Examples of each colour in sRGB: a pixel has the colours of the examples that look most like it.
EXAMPLES: Mapping[str, tuple[tuple[int, int, int], ...]] = {
    "black": ((20, 20, 20), (45, 45, 48)),
    "grey": ((85, 85, 85), (128, 128, 128), (165, 165, 165)),
    "white": ((245, 245, 245), (210, 210, 208)),
    "red": ((200, 30, 40), (140, 20, 35), (225, 60, 60)),
    "orange": ((240, 130, 30), (225, 105, 40)),
    "yellow": ((245, 225, 60), (205, 180, 40)),
    "green": ((50, 150, 60), (25, 80, 45), (140, 195, 60), (110, 150, 100)),
    "blue": ((40, 80, 180), (100, 150, 220), (25, 35, 90), (90, 110, 150)),
    "purple": ((110, 45, 130), (160, 115, 190)),
    "pink": ((240, 140, 180), (225, 50, 130), (240, 190, 200)),
    "brown": ((100, 65, 40), (150, 105, 70), (60, 40, 30)),
}
# Other words that the tokenizer knows as one token, by the colours that they stand for.
OTHER_WORDS: Mapping[str, tuple[str, ...]] = {
    "gray": ("grey",),
    "silver": ("grey",),
    "crimson": ("red",),
    "scarlet": ("red",),
    "maroon": ("red", "brown"),
    "burgundy": ("red", "brown"),
    "golden": ("yellow",),
    "olive": ("green",),
    "turquoise": ("blue", "green"),
    "navy": ("blue",),
    "violet": ("purple",),
    "lavender": ("purple",),
    "beige": ("brown", "white"),
    "tan": ("brown",),
}
# So different two colours of CIELAB are (brightness counted less, since it changes with the lamp) that one is hardly the other.
TOLERANCE, BRIGHTNESS = 14.0, 0.6
# A sentence in which one word of four is a colour is about colours; of a longer one they say less.
WORDS_A_COLOUR = 4.0

_TO_XYZ = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
_WHITE = (0.9505, 1.0, 1.089)


@dataclass(frozen=True, slots=True)
class UsualColours:
    """How much of each colour images have, (11,), and by how much that differs."""

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]


class ColourFractions(nn.Module):
    """Pixels (N, 3, S, S) of 0..255 and how much each counts, (N, S, S) of sum 1, in; the eleven fractions (N, 11) out."""

    def __init__(self) -> None:
        super().__init__()
        examples = torch.tensor([example for group in EXAMPLES.values() for example in group], dtype=torch.float32)
        owners = [row for row, group in enumerate(EXAMPLES.values()) for _ in group]
        self.examples: Tensor
        self.owners: Tensor
        self.register_buffer("examples", _perceived(examples))
        self.register_buffer("owners", torch.eye(len(EXAMPLES))[owners])

    def forward(self, pixels: Tensor, attention: Tensor) -> Tensor:
        perceived = _perceived(pixels.flatten(2).transpose(1, 2))
        # Squares of differences, without a tensor of all differences.
        squares = (perceived**2).sum(dim=2, keepdim=True) + (self.examples**2).sum(dim=1)
        distances = squares - 2 * perceived @ self.examples.T
        named = (-distances / (2 * TOLERANCE**2)).softmax(dim=2) @ self.owners
        fractions: Tensor = (attention.flatten(1)[:, None] @ named)[:, 0]
        return fractions


class ColourWords(nn.Module):
    """`tokens` int64 (N, T), 0 behind their text, and `lengths` in; which colours they name, (N, 11), out: of length 1, shorter the longer the sentence, or zeros."""

    def __init__(self, tokenizer: Path) -> None:
        super().__init__()
        known = Tokenizer.from_file(str(tokenizer))
        names = list(EXAMPLES)
        words = {**{name: (name,) for name in names}, **OTHER_WORDS}
        tokens = [known.token_to_id(word) for word in words]
        if None in tokens:
            raise ValueError(f"{tokenizer}: it has no single token for {list(words)[tokens.index(None)]}")
        self.words: Tensor
        self.meant: Tensor
        self.register_buffer("words", torch.tensor(tokens))
        meant = [
            torch.eye(len(names))[[names.index(name) for name in colours]].sum(dim=0) for colours in words.values()
        ]
        self.register_buffer("meant", torch.stack(meant))

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        is_word = (tokens[..., None] == self.words).float().sum(dim=1)
        named = nn.functional.normalize(is_word @ self.meant, dim=1)
        # Two tokens of every sentence are marks.
        share = WORDS_A_COLOUR * is_word.sum(dim=1) / (lengths - 2).clamp(min=1)
        return named * share.clamp(max=1)[:, None]


def attention(maps: Tensor) -> Tensor:
    """How much each cell of a classifier's last maps (N, C, h, w) is about something, (N, h, w) of 0..1.

    Where a network that was trained on objects is active, there is one: backgrounds must not name the colour of things.
    """
    activity = maps.sum(dim=1)
    least, most = activity.amin(dim=(1, 2), keepdim=True), activity.amax(dim=(1, 2), keepdim=True)
    return ((activity - least) / (most - least).clamp(min=1e-6)) ** 2


def _perceived(colours: Tensor) -> Tensor:
    """Pixels (…, 3) of sRGB, 0..255, as CIELAB under daylight, with less of brightness."""
    scaled = colours / 255
    linear = torch.where(scaled <= 0.04045, scaled / 12.92, ((scaled + 0.055) / 1.055) ** 2.4)
    to_xyz, white = (torch.tensor(rows, device=colours.device) for rows in (_TO_XYZ, _WHITE))
    ratios = (linear @ to_xyz.T / white).clamp(min=0)
    roots = torch.where(ratios > 0.008856, ratios.clamp(min=0.008856) ** (1 / 3), 7.787 * ratios + 16 / 116)
    x, y, z = roots.unbind(dim=-1)
    return torch.stack([BRIGHTNESS * (116 * y - 16), 500 * (x - y), 200 * (y - z)], dim=-1)
