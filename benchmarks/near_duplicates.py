"""From which cosine on do two embeddings of a bundle show the same photo? Copies at other sizes and crops are planted.

    python -m benchmarks.near_duplicates BUNDLE FOLDER

Takes up to 300 photos below FOLDER. For each cosine one line: the share of planted pairs that grouping folds (must be .95), of
pairs of different photos (must be .01), and of photos that it folds with any other.
"""

import argparse
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from random import Random

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.raw import open_model
from encoders.bundle import Bundle, Preprocessing
from encoders.images.decoding import decode
from encoders.images.resizing import resize
from services.search.near_duplicates import groups_of

_PHOTOS, _BATCH = 300, 16
_COSINES = np.arange(0.80, 0.995, 0.01)
# Sizes, and what is cut off: left, top, right, bottom, as parts of the sides.
_SCALES = (0.5, 0.75, 1.5)
_CROPS = ((0.05, 0.05, 0.05, 0.05), (0.1, 0.0, 0.0, 0.1), (0.0, 0.15, 0.0, 0.0))

Pixels = npt.NDArray[np.uint8]


def copies_of(photo: Image.Image) -> Iterator[Image.Image]:
    """The photo itself, then its planted copies."""
    yield photo
    width_px, height_px = photo.size
    for scale in _SCALES:
        yield photo.resize((round(scale * width_px), round(scale * height_px)), Image.Resampling.BICUBIC)
    for left, top, right, bottom in _CROPS:
        yield photo.crop(
            (
                round(left * width_px),
                round(top * height_px),
                round((1 - right) * width_px),
                round((1 - bottom) * height_px),
            )
        )


def folded(groups: Sequence[Sequence[int]], photos: npt.NDArray[np.int_]) -> tuple[float, float, float]:
    """Of planted pairs, of pairs of different photos, and of photos with any other photo, the share in one group."""
    group_of = np.empty(len(photos), dtype=int)
    for number, members in enumerate(groups):
        group_of[list(members)] = number
    originals = np.searchsorted(photos, photos)  # the first position of each photo is the photo itself
    planted = np.flatnonzero(originals != np.arange(len(photos)))
    kinds = [set(photos[list(members)].tolist()) for members in groups]
    pairs = {pair for kind in kinds for pair in combinations(sorted(kind), 2)}
    count = len(set(photos.tolist()))
    return (
        float(np.mean(group_of[planted] == group_of[originals[planted]])),
        len(pairs) / (count * (count - 1) / 2),
        len({photo for pair in pairs for photo in pair}) / count,
    )


def main() -> None:
    """Encode photos and copies, group them at each cosine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    files = sorted(options.folder.rglob("*.jpg"))
    files = Random(7).sample(files, min(_PHOTOS, len(files)))
    bundle = Bundle.load(options.bundle)
    model, numbers, embeddings, waiting = open_model(bundle, threads=1), list[int](), list[Pixels](), list[Pixels]()
    for number, file in enumerate(files):
        for copy in copies_of(Image.fromarray(decode(file.read_bytes()).pixels)):
            numbers.append(number)
            waiting.append(_input(copy, bundle.image_preprocessing))
        if len(waiting) >= _BATCH or number == len(files) - 1:
            embeddings += model.run(["embedding"], {"image": np.stack(waiting)})
            waiting = []
    every = np.concatenate(embeddings).astype(np.float32)
    for cosine in _COSINES:
        planted, pairs, mixed = folded(groups_of(every, float(cosine)), np.array(numbers))
        print(f"{cosine:.2f}: {planted:.3f} of planted pairs, {pairs:.4f} of other pairs, {mixed:.3f} of photos")


def _input(image: Image.Image, preprocessing: Preprocessing) -> Pixels:
    return resize(np.asarray(image), preprocessing)


if __name__ == "__main__":
    main()
