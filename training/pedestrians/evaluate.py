"""Measures the bundles on the test split, in this process and through a running Fovea."""

from pathlib import Path

import numpy as np
from PIL import Image

from encoders.bundle import Bundle
from encoders.images.decoding import decode
from encoders.images.resizing import resize
from encoders.serving.text import Tokenizer
from training.datasets.pedestrians import LISTS
from training.embed import embed
from training.metrics import evaluate_scores, same_label
from training.pedestrians.dataset import load_people
from training.pedestrians.drawing import draw_held_out
from training.pedestrians.export import IMAGE, TEXT
from training.pedestrians.held_out import KS, both_ways, summary
from training.serving import Query, Served
from training.sheet import Row, write_sheet

COLLECTION = "pedestrians"
# Of each caption; what lies behind adds next to nothing to mAP, and a thousand hits take ten times as long to send.
MOST_HITS = 100
# Below the least cosine: what was not among the hits comes behind all that was.
NOT_FOUND = -2.0
SAMPLES, SAMPLE_HITS = 5, 5


def prepare(data: Path, realdata: Path) -> None:  # noqa: ARG001  # this system needs no photos
    """Draw the test split where no dataset is."""
    if not any((data / name).exists() for name in LISTS):
        draw_held_out(data)


def offline(models: Path, data: Path, *, allow_incomplete: bool = False) -> dict[str, float]:
    """Both ways between captions and pictures, by the bundles' own preprocessing and tokenizer; shares of 0..1."""
    people = load_people(data, allow_incomplete=allow_incomplete)
    image, text = Bundle.load(models / IMAGE), Bundle.load(models / TEXT)
    tokenizer = Tokenizer(text)
    preprocessing = image.image_preprocessing
    pictures, queries = people.of("test"), people.queries("test")
    pixels = [resize(decode(picture.path.read_bytes()).pixels, preprocessing) for picture in pictures]
    tokens = [tokenizer.encode(query.caption).ids for query in queries]
    return both_ways(
        embed(image, pixels),
        embed(text, tokens),
        [picture.label for picture in pictures],
        [query.label for query in queries],
    )


def online(served: Served, data: Path, *, allow_incomplete: bool = False) -> dict[str, float]:
    """Ingest the gallery and ask every caption, exactly; for mAP, what is not among the first hits comes last."""
    people = load_people(data, allow_incomplete=allow_incomplete)
    pictures, queries = people.of("test"), people.queries("test")
    served.fill(COLLECTION, ((picture.name, picture.path.read_bytes()) for picture in pictures), encoder=IMAGE)

    row_of = {picture.name: row for row, picture in enumerate(pictures)}
    scores = np.full((len(queries), len(pictures)), NOT_FOUND, np.float32)
    answers = served.search(COLLECTION, [Query(text=query.caption) for query in queries], limit=MOST_HITS)
    for row, answer in zip(scores, answers, strict=True):
        for hit in answer:
            row[row_of[hit.uri]] = hit.score
    is_relevant = same_label([query.label for query in queries], [picture.label for picture in pictures])
    return summary(evaluate_scores(scores, is_relevant, ks=KS))


def sheet(served: Served, data: Path, path: Path, *, allow_incomplete: bool = False) -> None:
    """Draw sample captions with their first hits; the collection of `online` is there."""
    people = load_people(data, allow_incomplete=allow_incomplete)
    picture_of = {picture.name: picture for picture in people.of("test")}
    queries = people.queries("test")
    samples = [queries[number] for number in np.linspace(0, len(queries) - 1, SAMPLES).astype(int)]
    answers = served.search(COLLECTION, [Query(text=sample.caption) for sample in samples], limit=SAMPLE_HITS)
    write_sheet(
        [
            Row(
                sample.caption,
                [(Image.open(picture_of[hit.uri].path), picture_of[hit.uri].label == sample.label) for hit in answer],
            )
            for sample, answer in zip(samples, answers, strict=True)
        ],
        path,
    )
