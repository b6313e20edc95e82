"""Owns the pedestrian network: a person's image and the sentence that describes them meet in one space."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.models import resnet50

from training.models.mobilenet_v1 import MobileNetV1

Backbone = Literal["mobilenet_v1", "resnet50"]
Reading = Literal["two_forward", "bidirectional"]


@dataclass(frozen=True, slots=True)
class DcmplConfig:
    """The defaults are the published network.

    `reading` is how the two LSTMs read: the published ones both read left to right, by a mistake that their weights
    have learnt to live with; `bidirectional` lets the second one read right to left, as the paper says.
    `pad_zero_in_max` lets the zeros behind a caption into its maximum, so that its embedding depends on the longest
    caption of its batch: only for repeating published figures.
    `width` scales MobileNetV1's channels.
    """

    backbone: Backbone = "mobilenet_v1"
    reading: Reading = "two_forward"
    pad_zero_in_max: bool = False
    vocabulary_size: int = 12_000
    word_dimension: int = 512
    hidden: int = 512
    dimension: int = 512
    width: float = 1.0
    word_dropout: float = 0.0


class CaptionReader(nn.Module):
    """Token ids (N, T) and their number (N,) in, the maximum over each caption's words (N, 2·hidden) out."""

    def __init__(self, config: DcmplConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocabulary_size, config.word_dimension, padding_idx=0)
        self.bilstm = nn.ModuleList(
            nn.LSTM(config.word_dimension, config.hidden, bias=False, batch_first=True) for _ in range(2)
        )
        self.dropout = nn.Dropout(config.word_dropout)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        # A caption without any word would be the maximum of nothing.
        lengths = lengths.clamp(min=1)
        if self.config.pad_zero_in_max:
            tokens = tokens[:, : int(lengths.max())]
        words = self.dropout(self.embed(tokens))
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        is_word = positions < lengths[:, None]

        # Plain LSTMs over the padding need no packed sequences: what follows a word cannot reach back to it.
        first, _ = self.bilstm[0](words)
        if self.config.reading == "bidirectional":
            mirrored = torch.where(is_word, lengths[:, None] - 1 - positions, positions)
            second, _ = self.bilstm[1](_rows(words, mirrored))
            second = _rows(second, mirrored)
        else:
            second, _ = self.bilstm[1](words)
        states = self.dropout(torch.cat((first, second), dim=2))
        padding = 0.0 if self.config.pad_zero_in_max else -torch.inf
        longest: Tensor = states.masked_fill(~is_word[:, :, None], padding).amax(dim=1)
        return longest


class Dcmpl(nn.Module):
    """Both branches; embeddings come as the losses want them, not of unit length."""

    def __init__(self, config: DcmplConfig) -> None:
        super().__init__()
        self.config = config
        self.image_model, pooled = _image_branch(config)
        self.bilstm = CaptionReader(config)
        self.dropout = nn.Dropout(0.001)
        self.conv_images = nn.Conv2d(pooled, config.dimension, 1)
        self.conv_text = nn.Conv2d(2 * config.hidden, config.dimension, 1)

    def forward(self, image: Tensor, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        return self.embed_image(image), self.embed_text(tokens, lengths)

    def embed_image(self, image: Tensor) -> Tensor:
        """Embed RGB images (N, 3, 224, 224) of -1..1 as (N, D)."""
        return _projected(self.conv_images, self.dropout(self.image_model(image)))

    def embed_text(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Embed captions, int64 (N, T) padded on the right and their lengths (N,), as (N, D)."""
        return _projected(self.conv_text, self.bilstm(tokens, lengths))


def _image_branch(config: DcmplConfig) -> tuple[nn.Module, int]:
    if config.backbone == "mobilenet_v1":
        mobilenet = MobileNetV1(width=config.width)
        return mobilenet, mobilenet.outputs
    resnet = resnet50()
    pooled: int = resnet.fc.in_features
    resnet.fc = nn.Identity()
    return resnet, pooled


def _projected(conv: nn.Module, pooled: Tensor) -> Tensor:
    projected: Tensor = conv(pooled[:, :, None, None])
    return projected.flatten(1)


def _rows(states: Tensor, positions: Tensor) -> Tensor:
    return states.gather(1, positions[:, :, None].expand_as(states))
