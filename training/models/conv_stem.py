"""Owns the convolutional stem of a transformer: small convolutions in place of one large patch embedding.

After "Early Convolutions Help Transformers See Better" (Xiao et al., 2021).
"""

from typing import cast

from torch import Tensor, nn


class ConvStem(nn.Module):
    """Pictures (N, 3, S, S) in, a grid of patch embeddings (N, width, S / patch, S / patch) out.

    Each convolution halves the sides and doubles the channels; `patch_px` is a power of two.
    """

    def __init__(self, patch_px: int, width: int) -> None:
        super().__init__()
        halvings = patch_px.bit_length() - 1
        if 2**halvings != patch_px:
            raise ValueError(f"a convolutional stem halves the sides; {patch_px} is not a power of two")
        layers, channels = list[nn.Module](), 3
        for left in reversed(range(halvings)):
            wider = width >> left
            layers += [
                nn.Conv2d(channels, wider, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(wider),
                nn.ReLU(inplace=True),
            ]
            channels = wider
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels, width, 1))

    def forward(self, picture: Tensor) -> Tensor:
        return cast("Tensor", self.layers(picture))
