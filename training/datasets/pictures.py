"""Owns the opening of a dataset's pictures while training runs: one that breaks is named."""

from pathlib import Path

from PIL import Image

from encoders.errors import InvalidContent
from encoders.images.decoding import decode


class PictureError(Exception):
    """A picture that a loader found cannot be opened now; the message names the file."""


def open_picture(path: Path) -> Image.Image:
    """Decode a picture by the code that serves it: upright, RGB, transparency on white. Raises PictureError."""
    try:
        return Image.fromarray(decode(path.read_bytes()).pixels)
    except (InvalidContent, OSError) as error:
        raise PictureError(
            f"{path}: {error}. Replace the file, or load the dataset with decode=True and allow_incomplete=True."
        ) from error
