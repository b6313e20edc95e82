"""Where a picture comes to lie in a model's input, and back: the geometry that resizing and detection share."""

from dataclasses import dataclass

from encoders.bundle import Preprocessing


@dataclass(frozen=True, slots=True)
class Fit:
    """The picture is resized to `resized_px` (width, height); the input's corner lies at (`left_px`, `top_px`) of it.

    Letterboxing pads, so its offsets are negative; cropping cuts, so its offsets are positive.
    """

    resized_px: tuple[int, int]
    left_px: int
    top_px: int


def fit(picture_px: tuple[int, int], preprocessing: Preprocessing) -> Fit:
    """Place a picture of (width, height) in the model's input."""
    width_px, height_px = picture_px
    input_width_px, input_height_px = preprocessing.size
    match preprocessing.resize:
        case "squash":
            return Fit(preprocessing.size, 0, 0)
        case "letterbox":
            scale = min(input_width_px / width_px, input_height_px / height_px)
            resized_px = (max(1, round(width_px * scale)), max(1, round(height_px * scale)))
            # On the left and above, padding rounds down in Darknet, and up in CompCars with its blurred bands.
            odd_px = 1 if preprocessing.fill == "blur" else 0
            left_px, top_px = (
                (whole_px - part_px + odd_px) // 2
                for whole_px, part_px in zip(preprocessing.size, resized_px, strict=True)
            )
            return Fit(resized_px, -left_px, -top_px)
        case "shortest_crop":
            # Lengths and offsets are rounded as torchvision's Resize and CenterCrop round them.
            shorter_px = preprocessing.shorter_side_px or max(preprocessing.size)
            longer_px = int(shorter_px * max(picture_px) / min(picture_px))
            resized_px = (longer_px, shorter_px) if width_px > height_px else (shorter_px, longer_px)
            return Fit(
                resized_px, round((resized_px[0] - input_width_px) / 2), round((resized_px[1] - input_height_px) / 2)
            )
