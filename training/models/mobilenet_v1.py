"""Owns MobileNetV1 under the parameter names of the published pedestrian checkpoints."""

from torch import Tensor, nn

# (outputs at full width, stride) of the 13 depthwise-separable blocks.
BLOCKS = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *[(512, 1)] * 5,
    (1024, 2),
    (1024, 1),
)


class MobileNetV1(nn.Module):
    """Normalised images (N, 3, H, W) in, pooled activations (N, C) out; C is 1024 at width 1."""

    def __init__(self, *, width: float = 1.0) -> None:
        super().__init__()
        channels = [round(32 * width), *(round(outputs * width) for outputs, _ in BLOCKS)]
        self.outputs = channels[-1]
        self.model = nn.Sequential(
            nn.Sequential(*_conv(3, channels[0], size=3, stride=2)),
            *(
                nn.Sequential(
                    *_conv(inputs, inputs, size=3, stride=stride, groups=inputs),
                    *_conv(inputs, outputs, size=1),
                )
                for inputs, outputs, (_, stride) in zip(channels, channels[1:], BLOCKS, strict=False)
            ),
        )

    def forward(self, image: Tensor) -> Tensor:
        # The mean over whatever is left equals the published 7-by-7 pool at 224 pixels and allows other sizes.
        pooled: Tensor = self.model(image).mean(dim=(2, 3))
        return pooled


def _conv(inputs: int, outputs: int, *, size: int, stride: int = 1, groups: int = 1) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(inplace=True),
    )
