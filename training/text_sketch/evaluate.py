"""Measures the bundles on the test split: by sentence, by sketch and by both."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from encoders.bundle import Bundle
from encoders.serving.text import Tokenizer
from training.datasets.coco_karpathy import CaptionedPhoto
from training.decoded import decoded, open_image
from training.embed import embed
from training.evaluation import Evaluation, Sample, spread
from training.metrics import evaluate_scores, same_label
from training.serving import Query, Served
from training.sketch_augmentation import WHITE
from training.text_sketch.export import IMAGE, TEXT
from training.text_sketch.modes import Embeddings, figures_of, summary


class TextSketchEvaluation(Evaluation):
    """Test photos with a sketch; each is asked for by every caption, by its sketch and by both."""

    collection, encoder = "text_sketch", IMAGE
    # In galleries of over 1,000 photos, MRR counts those beyond the first 1,000 hits as if they were next.
    limit = 1000

    def __init__(self, photos: Sequence[CaptionedPhoto]) -> None:
        self.sketches = {photo: photo.sketch for photo in photos if photo.sketch is not None}
        self.photos = list(self.sketches)
        super().__init__({photo.name: photo.path for photo in self.photos})
        self.captions = [caption for photo in self.photos for caption in photo.captions]
        # The row of the photo of each caption.
        self.photo_of_caption = np.repeat(np.arange(len(self.photos)), [len(photo.captions) for photo in self.photos])

    def offline(self, models: Path) -> dict[str, float]:
        """Every mode, with placeholders too."""
        image, text = Bundle.load(models / IMAGE), Bundle.load(models / TEXT)
        preprocessing, tokenizer = image.image_preprocessing, Tokenizer(text)
        blank = np.full((*preprocessing.size[::-1], 3), int(WHITE), np.uint8)
        pixels = decoded([*self.gallery.values(), *self.sketches.values()], preprocessing)
        of_images = embed(image, [blank, *pixels])
        # The tokenizer refuses a text without words, so its ends alone are taken from one that has some.
        words = [tokenizer.encode(caption).ids for caption in self.captions]
        of_texts = embed(text, [words[0][[0, -1]], *words])
        return figures_of(
            Embeddings(
                photos=of_images[1 : len(self.photos) + 1],
                sketches=of_images[len(self.photos) + 1 :],
                texts=of_texts[1:],
                photo_of_text=self.photo_of_caption,
                no_sketch=of_images[0],
                no_text=of_texts[0],
            )
        )

    def online(self, served: Served) -> dict[str, float]:
        """The modes without placeholders, which a search with one part does not have."""
        self.ingest(served)
        sketches = [path.read_bytes() for path in self.sketches.values()]
        queries = {
            "text": [Query(text=caption) for caption in self.captions],
            "sketch": [Query(sketch=sketch) for sketch in sketches],
            "both": [
                Query(text=caption, sketch=sketches[row])
                for caption, row in zip(self.captions, self.photo_of_caption, strict=True)
            ],
        }
        own, figures = np.arange(len(self.photos)), dict[str, float]()
        for mode, asked in queries.items():
            target = own if mode == "sketch" else self.photo_of_caption
            figures |= summary(mode, evaluate_scores(self.scores(served, asked), same_label(target, own)))
        return figures

    def samples(self) -> list[Sample]:
        return [
            Sample(
                Query(text=photo.captions[0], sketch=self.sketches[photo].read_bytes()),
                (photo.captions[0], open_image(self.sketches[photo])),
                {photo.name},
            )
            for photo in spread(self.photos)
        ]
