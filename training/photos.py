"""Owns the reading of the openly licensed photos that the general embedding is trained on."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from encoders.images.decoding import decode

PHOTOS = (
    "GroceryStoreDataset by Marcus Klasson (MIT), the 2,640 photos of its training split; "
    "clothing-dataset-small by Alexey Grigorev (CC0), its 3,068 training photos"
)


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo with what it shows: `fine` names the exact product, `coarse` its family."""

    path: Path
    fine: str
    coarse: str

    def open(self) -> Image.Image:
        """Decode the photo by the code that serves it: upright, RGB."""
        return Image.fromarray(decode(self.path.read_bytes()).pixels)


def grocery_photos(folder: Path, split: str) -> list[Photo]:
    """List a split (`train` or `val`) of the GroceryStoreDataset in the order of its file."""
    photos = []
    for line in (folder / f"{split}.txt").read_text(encoding="utf-8").splitlines():
        path, fine, coarse = (field.strip() for field in line.split(","))
        photos.append(Photo(folder / path, fine=f"grocery/{fine}", coarse=f"grocery/{coarse}"))
    return photos


def clothing_photos(folder: Path) -> list[Photo]:
    """List clothing-dataset-small, whose ten classes are its folders' names."""
    paths = sorted((folder / "train").glob("*/*.jpg"))
    return [Photo(path, fine=f"clothing/{path.parent.name}", coarse=f"clothing/{path.parent.name}") for path in paths]
