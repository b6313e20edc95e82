"""Trial runs of graphs that were never run here before, on inputs that are made for it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto

from encoders.errors import BundleError, first_line
from encoders.optimizers import disabled_optimizers

Feeds: TypeAlias = Mapping[str, NDArray[Any]]


class Trial:
    """A graph on the CPU; whatever ONNX Runtime refuses becomes a `BundleError`."""

    def __init__(self, model: ModelProto | Path, *, precision: str = "fp32") -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what is wrong is raised; nothing more is worth a line
        content = str(model) if isinstance(model, Path) else model.SerializeToString()
        try:
            self._session = onnxruntime.InferenceSession(
                content,
                options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=disabled_optimizers(precision),
            )
        except Exception as error:  # onnxruntime's own exceptions share no base class but this one
            raise BundleError(f"ONNX Runtime cannot load the model: {first_line(error)}") from error

    def run(self, feeds: Feeds) -> dict[str, NDArray[np.float32]]:
        """Outputs by name for inputs by name."""
        names = [output.name for output in self._session.get_outputs()]
        try:
            return dict(zip(names, self._session.run(names, dict(feeds)), strict=True))
        except Exception as error:  # as above
            what = "an image" if "image" in feeds else "a text"
            raise BundleError(f"The model fails on {what}: {first_line(error)}") from error


def trial_images(size: tuple[int, int]) -> NDArray[np.uint8]:
    """Three images (3, H, W, 3) that every network tells apart: noise, a ramp of colours, stripes."""
    width_px, height_px = size
    y, x = np.mgrid[:height_px, :width_px]
    noise = np.random.default_rng(0).integers(0, 256, (height_px, width_px, 3))
    ramp = np.stack([255 * x // width_px, 255 * y // height_px, np.full_like(x, 40)], axis=-1)
    stripes = np.repeat((255 * ((x + y) // 8 % 2))[..., None], 3, axis=-1)
    return np.stack([noise, ramp, stripes]).astype(np.uint8)
