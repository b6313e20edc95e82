"""Owns EfficientNet-Lite (Tan and Le, 2019; the Lite variants: Liu, 2020) under the names of the published PyTorch weights."""

import math
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# (blocks, kernel, stride of the first, expansion, channels) of the seven stages at width and depth 1.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM, HEAD = 32, 1280


class EfficientNetLite(nn.Module):
    """Images float32 (N, 3, S, S) of 0..255 in; pooled activations (N, 1280) and logits (N, classes) out.

    Width 1.1 and depth 1.2 at 260 pixels are Lite2.
    """

    def __init__(self, *, width: float, depth: float, classes: int = 1000) -> None:
        super().__init__()
        # The first and the last stage keep their depth, stem and head their width: that is what makes it Lite.
        depths = [1, *(math.ceil(blocks * depth) for blocks, *_ in STAGES[1:-1]), 1]
        widths = [STEM, *(_rounded(channels * width) for *_, channels in STAGES)]
        self._conv_stem = _SameConv(3, STEM, 3, stride=2)
        self._bn0 = _norm(STEM)
        self._blocks = nn.ModuleList(
            _Block(inputs if number == 0 else outputs, outputs, kernel, stride if number == 0 else 1, expansion)
            for (_, kernel, stride, expansion, _), blocks, (inputs, outputs) in zip(
                STAGES, depths, pairwise(widths), strict=True
            )
            for number in range(blocks)
        )
        self._conv_head = _SameConv(widths[-1], HEAD, 1)
        self._bn1 = _norm(HEAD)
        self._fc = nn.Linear(HEAD, classes)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        return self.pooled(self.maps(image))

    def maps(self, image: Tensor) -> Tensor:
        """The last activations, (N, 1280, S / 32, S / 32)."""
        x = F.relu6(self._bn0(self._conv_stem((image - 127) / 128)))
        for block in self._blocks:
            x = block(x)
        return F.relu6(self._bn1(self._conv_head(x)))

    def pooled(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Pooled activations and logits of these maps."""
        features = maps.mean(dim=(2, 3))
        return features, self._fc(features)

    @property
    def class_directions(self) -> Tensor:
        """The rows of the classifier, (classes, 1280): what tells its classes apart."""
        return self._fc.weight.detach()


class _Block(nn.Module):
    """An inverted residual: expand, filter each channel, project."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self._is_residual = stride == 1 and inputs == outputs
        if expansion > 1:
            self._expand_conv = _SameConv(inputs, hidden, 1)
            self._bn0 = _norm(hidden)
        self._is_expanded = expansion > 1
        self._depthwise_conv = _SameConv(hidden, hidden, kernel, stride=stride, groups=hidden)
        self._bn1 = _norm(hidden)
        self._project_conv = _SameConv(hidden, outputs, 1)
        self._bn2 = _norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self._bn0(self._expand_conv(x))) if self._is_expanded else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        answer: Tensor = x + y if self._is_residual else y
        return answer


class _SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow's SAME: with a stride of 2 an odd pixel of padding is at the right and below."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        before, after = [], []
        for side in x.shape[-2:]:
            padding = max((math.ceil(int(side) / stride) - 1) * stride + kernel - int(side), 0)
            before.append(padding // 2)
            after.append(padding - padding // 2)
        return super().forward(F.pad(x, (before[1], after[1], before[0], after[0])))


def load_lite2(path: Path) -> EfficientNetLite:
    """The published EfficientNet-Lite2, evaluated; RuntimeError where the file holds other weights."""
    network = EfficientNetLite(width=1.1, depth=1.2)
    network.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
    return network.eval()


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


def _rounded(channels: float, divisor: int = 8) -> int:
    """To a multiple of 8, never below 90 %."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded
