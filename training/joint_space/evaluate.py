"""Measures the bundles of the joint space on photos never learnt from: in this process, and through the RPCs of a Fovea."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from encoders.bundle import Bundle
from encoders.images.decoding import decode
from encoders.images.resizing import resize
from encoders.serving.session import EmbeddingSession, ModelInput
from encoders.serving.text import Tokenizer
from training.decoded import open_image
from training.joint_space.domains import Domain, held_out_domains
from training.joint_space.drawings import drawings, encoded, on_paper
from training.joint_space.export import IMAGE, SKETCH, TEXT
from training.joint_space.fitting import squashed
from training.joint_space.labels import own_classes
from training.joint_space.questions import ASKED_ROWS, drawn, likeness, named, on_the_board, plain, sentences
from training.joint_space.sentences import unit
from training.serving import Query, Served
from training.sheet import Row, write_sheet

MOBILENET_PX = 224
BATCH = 16
# What is shown of the answers: queries, and photos of each.
SHEET_ROWS, SHEET_HITS = 8, 5
# Photos of this domain must not be copied.
NOT_TO_BE_SHOWN = "everyday"
# Below the least cosine: for photos that are not among the hits.
NOT_FOUND = -2.0
PAPER_PEN_PX = 4

Rows = NDArray[np.float32]


class Answers(Protocol):
    """What scores queries, by searching."""

    def scores(self, gallery: Sequence[Domain], queries: Sequence[Query]) -> Rows:
        """(queries, photos): how near the photos of the domains, one after the other, are to each query."""


class JointSpaceEvaluation:
    """Everyday photos, the validation split of the groceries, a third of the clothes, and those of the demo."""

    def __init__(self, realdata: Path) -> None:
        own = own_classes(realdata)
        self.domains = held_out_domains(realdata, own)
        self.everything = everything = named(self.domains, own, realdata / "demo")
        self.plain = plain(everything)
        self.questions = [
            *(likeness(domain) for domain in self.domains),
            *(asked for domain in self.domains for asked in sentences(domain)),
            *self.plain,
            *drawn(everything, realdata / "sketches"),
        ]
        self._sketches = realdata / "sketches"
        self._online: ServedAnswers | None = None

    def offline(self, models: Path) -> dict[str, float]:
        """Every figure by the code that serves the bundles; and how many drawings are named rightly."""
        answers = InProcessAnswers(models)
        return self.figures(answers) | self.drawings_named(answers)

    def online(self, served: Served) -> dict[str, float]:
        """The same through the RPCs."""
        self._online = ServedAnswers(served)
        return self.figures(self._online)

    def figures(self, answers: Answers) -> dict[str, float]:
        """Every figure."""
        figures: dict[str, float] = {}
        for asked in self.questions:
            figures |= asked.figures(answers.scores(asked.gallery, asked.queries))
        return figures

    def each(self, answers: Answers) -> dict[str, tuple[bool, float]]:
        """Of every plain query: whether the first photo is right, and its average precision."""
        found = {}
        for asked in self.plain:
            judged = asked.judged(answers.scores(asked.gallery, asked.queries))
            for row, is_first, precision in zip(judged.rows, judged.hits_within[1], judged.ap, strict=True):
                found[asked.queries[row].text] = (bool(is_first), float(precision))
        return found

    def draw_sheet(self, served: Served, path: Path) -> None:
        """Draw answers to plain queries, of those that show no photo which must not be copied; after `online`."""
        answers, rows = self._online or ServedAnswers(served), list[Row]()
        for asked in self.plain:
            photos = [(domain.name, photo) for domain in asked.gallery for photo in domain.paths]
            scores, right = answers.scores(asked.gallery, asked.queries), asked.right()
            for query, of_photos, is_right in zip(asked.queries, scores, right, strict=True):
                first = np.argsort(-of_photos, kind="stable")[:SHEET_HITS]
                if all(photos[index][0] != NOT_TO_BE_SHOWN for index in first):
                    rows.append(Row(query.text, [(open_image(photos[i][1]), bool(is_right[i])) for i in first]))
        write_sheet(rows[:: -(-len(rows) // SHEET_ROWS)], path)

    def drawings_named(self, answers: "InProcessAnswers") -> dict[str, float]:
        """The share of drawings that are nearest to the name of their kind, of all kinds, on the board and on paper."""
        rng = np.random.default_rng(0)
        asked = list(drawings(self._sketches, ASKED_ROWS))
        kinds = sorted({drawing.kind for drawing in asked})
        names = answers.embed([Query(text=f"a {kind}") for kind in kinds])
        seen = {
            "board": [on_the_board(drawing) for drawing in asked],
            "paper": [encoded(on_paper(drawing.rendered(width_px=PAPER_PEN_PX, size=0.75), rng)) for drawing in asked],
        }
        figures = {}
        for name, sketches in seen.items():
            nearest = (answers.embed([Query(sketch=sketch) for sketch in sketches]) @ names.T).argmax(axis=1)
            right = [kinds[row] == drawing.kind for row, drawing in zip(nearest, asked, strict=True)]
            figures[f"drawings_named_{name}"] = float(np.mean(right))
        return figures


class InProcessAnswers:
    """The three bundles in this process."""

    def __init__(self, models: Path) -> None:
        bundles = {name: Bundle.load(models / name) for name in (IMAGE, TEXT, SKETCH)}
        self._image, self._text, self._sketch = bundles[IMAGE], bundles[TEXT], bundles[SKETCH]
        self._sessions = {name: EmbeddingSession(bundle) for name, bundle in bundles.items()}
        self._tokenizer = Tokenizer(self._text)
        # Every photo is both asked and found, and every drawing is asked twice.
        self._known: dict[tuple[str, bytes], Rows] = {}

    def scores(self, gallery: Sequence[Domain], queries: Sequence[Query]) -> Rows:
        photos = self.embed([Query(image=path.read_bytes()) for domain in gallery for path in domain.paths])
        found: Rows = self.embed(queries) @ photos.T
        return found

    def embed(self, queries: Sequence[Query]) -> Rows:
        """The embedding of each query, (N, D): the sum of its parts', of unit length."""
        parts = [list(_parts(query)) for query in queries]
        missing = dict.fromkeys(part for each in parts for part in each if part not in self._known)
        for name in (IMAGE, TEXT, SKETCH):
            of_kind = [part for part in missing if part[0] == name]
            for start in range(0, len(of_kind), BATCH):
                self._run(name, of_kind[start : start + BATCH])
        return unit(np.stack([np.sum([self._known[part] for part in each], axis=0) for each in parts]))

    def _run(self, name: str, parts: Sequence[tuple[str, bytes]]) -> None:
        answers = self._sessions[name].run([self._prepared(name, content) for _, content in parts]).results
        for part, answer in zip(parts, answers, strict=True):
            if isinstance(answer, Exception):
                raise answer
            self._known[part] = answer

    def _prepared(self, name: str, content: bytes) -> ModelInput:
        if name == TEXT:
            return self._tokenizer.encode(content.decode()).ids
        bundle = self._image if name == IMAGE else self._sketch
        return resize(decode(content).pixels, bundle.image_preprocessing)


class ServedAnswers:
    """A running Fovea, in which every domain is a collection."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._filled: set[str] = set()

    def scores(self, gallery: Sequence[Domain], queries: Sequence[Query]) -> Rows:
        return np.concatenate([self._of_domain(domain, queries) for domain in gallery], axis=1)

    def _of_domain(self, domain: Domain, queries: Sequence[Query]) -> Rows:
        if domain.name not in self._filled:
            images = ((str(row), path.read_bytes()) for row, path in enumerate(domain.paths))
            self._served.fill(domain.name, images, encoder=IMAGE)
            self._filled.add(domain.name)
        scores = np.full((len(queries), len(domain.paths)), NOT_FOUND, np.float32)
        for row, hits in zip(scores, self._served.search(domain.name, queries, limit=len(domain.paths)), strict=True):
            for hit in hits:
                row[int(hit.uri)] = hit.score
        return scores


def compared(realdata: Path, domains: Sequence[Domain]) -> dict[str, float]:
    """What is to be beaten: the likeness that MobileNetV2 (ImageNet) sees, and that a random order would have."""
    session = onnxruntime.InferenceSession(realdata / "bundles" / "mobilenet_v2_imagenet.onnx")
    rng = np.random.default_rng(0)
    figures: dict[str, float] = {}
    for domain in domains:
        batches = [
            session.run(
                ["embedding"], {"image": (pixels.transpose(0, 3, 1, 2) - np.float32(127.5)) / np.float32(127.5)}
            )
            for pixels in squashed(domain.paths, MOBILENET_PX)
        ]
        embeddings = unit(np.concatenate([batch[0] for batch in batches]))
        random = unit(rng.standard_normal((len(domain.paths), 64)))
        figures |= {f"mobilenet_{name}": share for name, share in domain.likeness(embeddings).items()}
        figures |= {f"random_{name}": share for name, share in domain.likeness(random).items()}
    return figures


def _parts(query: Query) -> Iterable[tuple[str, bytes]]:
    """Each part with the bundle that embeds it."""
    named: Mapping[str, bytes] = {IMAGE: query.image, TEXT: query.text.encode(), SKETCH: query.sketch}
    return [(name, content) for name, content in named.items() if content]
