"""Measures the bundles on the test split by sentence, by sketch and by both, in this process and through a running Fovea."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from encoders.bundle import Bundle
from encoders.images.decoding import decode
from encoders.images.resizing import resize
from encoders.serving.session import ModelInput
from encoders.serving.text import Tokenizer
from training.datasets.coco_karpathy import LIST, CaptionedPhoto, load_coco_karpathy
from training.embed import embed
from training.metrics import evaluate_scores, same_label
from training.serving import Query, Served
from training.sheet import Row, write_sheet
from training.sketch_augmentation import WHITE
from training.text_sketch.export import PICTURE, TEXT
from training.text_sketch.modes import Embeddings, figures_of, summary
from training.world.coco_karpathy import draw_held_out

COLLECTION = "text_sketch"
MOST_HITS = 1000
# Below the least cosine: what was not among the hits comes behind all that was.
NOT_FOUND = -2.0
SAMPLES, SAMPLE_HITS = 5, 5


def prepare(data: Path, realdata: Path) -> None:  # noqa: ARG001  # this system needs no photos
    """Draw the test split where no dataset is."""
    if not (data / LIST).exists():
        draw_held_out(data)


def offline(models: Path, data: Path, *, allow_incomplete: bool = False) -> dict[str, float]:
    """Every mode, with placeholders too, by the bundles' own preprocessing and tokenizer; shares of 0..1."""
    photos = _held_out(data, allow_incomplete=allow_incomplete)
    picture, text = Bundle.load(models / PICTURE), Bundle.load(models / TEXT)
    preprocessing, tokenizer = picture.image_preprocessing, Tokenizer(text)

    def read(path: Path) -> ModelInput:
        return resize(decode(path.read_bytes()).pixels, preprocessing)

    blank = np.full((*preprocessing.size[::-1], 3), int(WHITE), np.uint8)
    of_pictures = embed(
        picture, [blank, *(read(photo.path) for photo in photos), *(read(_sketch(photo)) for photo in photos)]
    )
    # The tokenizer refuses a text without words, so its ends alone are taken from one that has some.
    words = [tokenizer.encode(caption).ids for photo in photos for caption in photo.captions]
    of_texts = embed(text, [words[0][[0, -1]], *words])
    return figures_of(
        Embeddings(
            photos=of_pictures[1 : len(photos) + 1],
            sketches=of_pictures[len(photos) + 1 :],
            texts=of_texts[1:],
            photo_of_text=_photo_of_caption(photos),
            no_sketch=of_pictures[0],
            no_text=of_texts[0],
        )
    )


def online(served: Served, data: Path, *, allow_incomplete: bool = False) -> dict[str, float]:
    """Ingest the photos and ask for each by every caption, by its sketch and by both, exactly.

    In galleries of over 1,000 photos, MRR counts those beyond the first 1,000 hits as if they were next.
    """
    photos = _held_out(data, allow_incomplete=allow_incomplete)
    served.fill(COLLECTION, ((photo.name, photo.path.read_bytes()) for photo in photos), encoder=PICTURE)
    row_of, own = {photo.name: row for row, photo in enumerate(photos)}, np.arange(len(photos))
    figures: dict[str, float] = {}
    photo_of_caption = _photo_of_caption(photos)
    for mode, queries in _queries(photos).items():
        wanted = own if mode == "sketch" else photo_of_caption
        scores = np.full((len(queries), len(photos)), NOT_FOUND, np.float32)
        answers = served.search(COLLECTION, queries, limit=MOST_HITS)
        for row, answer in zip(scores, answers, strict=True):
            for hit in answer:
                row[row_of[hit.uri]] = hit.score
        figures |= summary(mode, evaluate_scores(scores, same_label(wanted, own)))
    return figures


def sheet(served: Served, data: Path, path: Path, *, allow_incomplete: bool = False) -> None:
    """Draw sample queries of sentence and sketch with their first hits; the collection of `online` is there."""
    photos = _held_out(data, allow_incomplete=allow_incomplete)
    photo_of = {photo.name: photo for photo in photos}
    samples = [photos[number] for number in np.linspace(0, len(photos) - 1, SAMPLES).astype(int)]
    asked = [Query(text=sample.captions[0], sketch=_sketch(sample).read_bytes()) for sample in samples]
    answers = served.search(COLLECTION, asked, limit=SAMPLE_HITS)
    write_sheet(
        [
            Row(
                (sample.captions[0], Image.open(_sketch(sample))),
                [(Image.open(photo_of[hit.uri].path), hit.uri == sample.name) for hit in answer],
            )
            for sample, answer in zip(samples, answers, strict=True)
        ],
        path,
    )


def _held_out(data: Path, *, allow_incomplete: bool) -> tuple[CaptionedPhoto, ...]:
    """The test photos; of an incomplete set those that somebody drew."""
    photos = load_coco_karpathy(data, decode=allow_incomplete, allow_incomplete=allow_incomplete).of("test")
    return tuple(photo for photo in photos if photo.sketch is not None)


def _queries(photos: Sequence[CaptionedPhoto]) -> Mapping[str, list[Query]]:
    captioned = [(caption, _sketch(photo)) for photo in photos for caption in photo.captions]
    return {
        "text": [Query(text=caption) for caption, _ in captioned],
        "sketch": [Query(sketch=_sketch(photo).read_bytes()) for photo in photos],
        "both": [Query(text=caption, sketch=sketch.read_bytes()) for caption, sketch in captioned],
    }


def _photo_of_caption(photos: Sequence[CaptionedPhoto]) -> NDArray[np.intp]:
    """The row of the photo of each caption, in the captions' order."""
    return np.repeat(np.arange(len(photos)), [len(photo.captions) for photo in photos])


def _sketch(photo: CaptionedPhoto) -> Path:
    assert photo.sketch is not None, "a test photo without a sketch is a fault that the loader refuses"
    return photo.sketch
