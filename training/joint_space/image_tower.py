"""Owns the image tower: what published networks say of an image, as one embedding with blocks of looks, meaning and colours.

The block of meaning is ConSE (Norouzi et al., "Zero-Shot Learning by Convex Combination of Semantic Embeddings", 2013):
the sum of the labels' embeddings, each weighted by its probability.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from training.joint_space.colours import ColourFractions, UsualColours, attention
from training.joint_space.config import JointSpaceConfig
from training.joint_space.labels import LabelEmbeddings
from training.joint_space.own_classes import OwnClassifier
from training.models.efficientnet_lite import EfficientNetLite

CLASSIFIER_PX, CONTENT_PX, COLOURS_PX = 260, 144, 64
# The classifier halves the side five times.
MAPS_PX = -(-CLASSIFIER_PX // 32)

Rows = NDArray[np.float32]


class Resample(nn.Module):
    """Images (N, C, S, S) to another size, with the triangle filter by which Pillow's bilinear resizing shrinks."""

    def __init__(self, from_px: int, to_px: int) -> None:
        super().__init__()
        scale = from_px / to_px
        centres = (torch.arange(to_px) + 0.5) * scale
        distances = (torch.arange(from_px) + 0.5 - centres[:, None]).abs() / max(scale, 1.0)
        weights = (1 - distances).clamp(min=0)
        self.weights: Tensor
        self.register_buffer("weights", weights / weights.sum(dim=1, keepdim=True))

    def forward(self, image: Tensor) -> Tensor:
        return self.weights @ image @ self.weights.T


class Backbones(nn.Module):
    """`image` uint8 (N, S, S, 3) in.

    Out: the content network's uint8 input, the classifier's activations and logits, the fractions of the eleven colours.
    """

    def __init__(self, classifier: EfficientNetLite, image_px: int) -> None:
        super().__init__()
        self.classifier = classifier
        self.to_classifier = Resample(image_px, CLASSIFIER_PX)
        self.to_content = Resample(image_px, CONTENT_PX)
        self.to_colours = Resample(image_px, COLOURS_PX)
        self.to_attention = Resample(MAPS_PX, COLOURS_PX)
        self.colours = ColourFractions()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        pixels = image.permute(0, 3, 1, 2).float()
        content = self.to_content(pixels).round().clamp(0, 255).permute(0, 2, 3, 1).to(torch.uint8)
        maps = self.classifier.maps(self.to_classifier(pixels))
        attended = self.to_attention(attention(maps))
        attended = attended / attended.sum(dim=(1, 2), keepdim=True).clamp(min=1e-6)
        return content, *self.classifier.pooled(maps), self.colours(self.to_colours(pixels), attended)


@dataclass(frozen=True, slots=True)
class Fitted:
    """What the head of the image tower is made of.

    `looks` (1280, D) projects the classifier's activations, `content` (320, D) the content network's embedding.
    """

    looks: Rows
    content: Rows
    labels: LabelEmbeddings
    own: OwnClassifier
    colours: UsualColours


class ThreeBlocks(nn.Module):
    """From what is seen to `embedding` (N, D) of unit length.

    In: features, logits and colours of the backbones, the content network's embedding, the detector's scores (N, K, 80).
    """

    def __init__(self, config: JointSpaceConfig, fitted: Fitted) -> None:
        super().__init__()
        self._config = config
        buffers = {
            "looks_basis": fitted.looks,
            "content_basis": fitted.content,
            "classifier_labels": fitted.labels.classifier,
            "tag_labels": fitted.labels.tags,
            "own_labels": fitted.labels.own,
            "own_mean": fitted.own.mean,
            "own_directions": fitted.own.directions,
            "prototypes": fitted.own.prototypes,
            "usual_colours": fitted.colours.mean,
            "colours_deviation": fitted.colours.deviation,
        }
        for name, rows in buffers.items():
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(rows)))

    def forward(self, features: Tensor, logits: Tensor, colours: Tensor, content: Tensor, scores: Tensor) -> Tensor:
        meaning, coloured = self._config.meaning.share, self._config.colours.share
        blocks = [
            (1 - meaning**2 - coloured**2) ** 0.5 * self.looks(features, content),
            meaning * self.meaning(features, logits, content, scores),
            coloured * self.colours(colours),
        ]
        return torch.cat(blocks, dim=1)

    def looks(self, features: Tensor, content: Tensor) -> Tensor:
        """What an image looks like, (N, D) of unit length."""
        weight = self._config.looks.content_weight
        seen = F.normalize(features @ self.get_buffer("looks_basis"), dim=1)
        return F.normalize(
            torch.cat([seen, weight * F.normalize(content @ self.get_buffer("content_basis"), dim=1)], 1), dim=1
        )

    def meaning(self, features: Tensor, logits: Tensor, content: Tensor, scores: Tensor) -> Tensor:
        """What an image means, (N, D) of unit length, in the projected space of sentences."""
        config = self._config.meaning
        named = F.normalize(logits.softmax(dim=1) @ self.get_buffer("classifier_labels"), dim=1)
        tagged = F.normalize(scores.amax(dim=1) @ self.get_buffer("tag_labels"), dim=1)
        seen = named + config.tags_weight * tagged
        joined = joined_features(features, content, self._config)
        near = (joined @ self.get_buffer("prototypes").T).amax(dim=1, keepdim=True)
        is_own = torch.sigmoid((near - config.own_least) / config.own_softness)
        own_scores = (joined - self.get_buffer("own_mean")) @ self.get_buffer("own_directions")
        own = F.normalize((own_scores / config.own_temperature).softmax(dim=1) @ self.get_buffer("own_labels"), dim=1)
        return F.normalize((1 - is_own) * seen + is_own * (config.beside_own * seen + own), dim=1)

    def colours(self, fractions: Tensor) -> Tensor:
        """Of which colours an image has more than others have, (N, 11) of unit length."""
        return F.normalize((fractions - self.get_buffer("usual_colours")) / self.get_buffer("colours_deviation"), dim=1)


def joined_features(features: Tensor, content: Tensor, config: JointSpaceConfig) -> Tensor:
    """The features that own classes are fitted to: (N, 1600) of unit length."""
    return F.normalize(torch.cat([F.normalize(features, dim=1), config.looks.content_weight * content], dim=1), dim=1)
