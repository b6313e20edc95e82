"""Trial runs of graphs that were never run here before, on images that are made for it."""

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto

from encoders.errors import BundleError, first_line


class Trial:
    """A graph with the input `image` on the CPU; whatever ONNX Runtime refuses becomes a `BundleError`."""

    def __init__(self, model: ModelProto | Path) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what is wrong is raised; nothing more is worth a line
        content = str(model) if isinstance(model, Path) else model.SerializeToString()
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own exceptions share no base class but this one
            raise BundleError(f"ONNX Runtime cannot load the model: {first_line(error)}") from error

    def run(self, images: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Outputs by name for images (N, H, W, 3)."""
        names = [output.name for output in self._session.get_outputs()]
        try:
            return dict(zip(names, self._session.run(names, {"image": images}), strict=True))
        except Exception as error:  # as above
            raise BundleError(f"The model fails on an image: {first_line(error)}") from error


def trial_images(size: tuple[int, int]) -> NDArray[np.uint8]:
    """Three images (3, H, W, 3) that every network tells apart: noise, a ramp of colours, stripes."""
    width_px, height_px = size
    y, x = np.mgrid[:height_px, :width_px]
    noise = np.random.default_rng(0).integers(0, 256, (height_px, width_px, 3))
    ramp = np.stack([255 * x // width_px, 255 * y // height_px, np.full_like(x, 40)], axis=-1)
    stripes = np.repeat((255 * ((x + y) // 8 % 2))[..., None], 3, axis=-1)
    return np.stack([noise, ramp, stripes]).astype(np.uint8)
