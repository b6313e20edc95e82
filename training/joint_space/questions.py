"""Owns what the joint space is asked: photos, words, drawings and mixtures, each with the labels of the photos that it means."""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.joint_space.domains import Domain
from training.joint_space.drawings import Drawing, drawings, encoded
from training.joint_space.labels import OwnClass
from training.metrics import QueryFigures, evaluate_scores, own_id
from training.runner import CONFIGS
from training.serving import Query

Rows = NDArray[np.float32]
# Any of these sets of labels makes a photo right.
Meant = Sequence[frozenset[str]]

QUERIES, GARMENTS = CONFIGS / "joint_space_queries.toml", CONFIGS / "joint_space_garments.toml"
# The page's board has 640 x 480 pixels and a pen of 5: in a square of 256 pixels that is so wide, and drawings are so large.
BOARD_PEN_PX, BOARD_SIZE = 2, 0.75
# Which drawings of each kind are asked.
ASKED_ROWS = (0, 6, 12, 18)


@dataclass(frozen=True, slots=True)
class Questions:
    """Queries that are asked of the photos of some domains; `meant` says of each what it means.

    With `are_own` each query is the photo of its row, which it must not find.
    """

    name: str
    gallery: Sequence[Domain]
    queries: Sequence[Query]
    meant: Sequence[Meant]
    are_own: bool = False
    shown: Sequence[str] = field(default=())

    def figures(self, scores: Rows) -> dict[str, float]:
        """P@1, the share that finds a right photo among five, and mAP, of scores (queries, photos)."""
        found = self.judged(scores)
        return {
            f"{self.name}_p1": found.recall(1),
            f"{self.name}_r5": found.recall(5),
            f"{self.name}_map": float(found.ap.mean()),
        }

    def judged(self, scores: Rows) -> QueryFigures:
        """How good each query's order of the photos is."""
        right = self.right()
        rows = np.arange(right.shape[1])
        masks = [own_id(rows, rows)] if self.are_own else []
        return evaluate_scores(scores, lambda asked: right[asked], *masks, ks=(1, 5))

    def right(self) -> NDArray[np.bool_]:
        """Which photos are right, (queries, photos)."""
        labels = [each for domain in self.gallery for each in domain.labels]
        return np.array([[any(needed <= each for needed in meant) for each in labels] for meant in self.meant])


def likeness(domain: Domain) -> Questions:
    """Every photo, which looks for others that share a label."""
    known = [index for index, labels in enumerate(domain.labels)]
    return Questions(
        f"{domain.name}_likeness",
        [domain],
        [Query(image=domain.paths[index].read_bytes()) for index in known],
        [[frozenset({label}) for label in domain.labels[index]] for index in known],
        are_own=True,
    )


def sentences(domain: Domain) -> list[Questions]:
    """The domain's own sentences."""
    return [
        Questions(
            f"{domain.name}_{name}",
            [domain],
            [Query(text=sentence) for sentence in meant],
            [[frozenset({label}) for label in labels] for labels in meant.values()],
        )
        for name, meant in domain.sentences.items()
    ]


def plain(gallery: Sequence[Domain]) -> list[Questions]:
    """The thirty plain queries, in three groups."""
    written = _written()
    return [
        Questions(
            f"plain_{group}", gallery, [Query(text=each["text"]) for each in written[group]], _meant(written[group])
        )
        for group in ("kinds", "colours", "two_kinds")
    ]


def drawn(gallery: Sequence[Domain], sketches: Path) -> list[Questions]:
    """A hundred drawings; and drawings with words, beside the drawing and the words alone."""
    written = _written()
    by_kind: dict[str, list[bytes]] = {}
    for drawing in drawings(sketches, ASKED_ROWS):
        by_kind.setdefault(drawing.kind, []).append(on_the_board(drawing))

    def asked(group: str, query: Callable[[bytes, Mapping[str, Any]], Query], name: str) -> Questions:
        pairs = [(drawing, each) for each in written[group] for drawing in by_kind[each["drawing"]]]
        return Questions(name, gallery, [query(*pair) for pair in pairs], _meant([each for _, each in pairs]))

    return [
        asked("drawings", lambda drawing, _: Query(sketch=drawing), "drawings"),
        asked("mixtures", lambda drawing, _: Query(sketch=drawing), "mixtures_drawing_alone"),
        asked("mixtures", lambda _, each: Query(text=each["text"]), "mixtures_words_alone"),
        asked("mixtures", lambda drawing, each: Query(sketch=drawing, text=each["text"]), "mixtures_both"),
    ]


def on_the_board(drawing: Drawing) -> bytes:
    """The drawing as the page's board sends it."""
    return encoded(drawing.rendered(width_px=BOARD_PEN_PX, size=BOARD_SIZE))


def named(domains: Sequence[Domain], own: Sequence[OwnClass], demo: Path) -> list[Domain]:
    """The domains and the demo's photos, with labels as the queries name them: names, families, colours of garments."""
    names = {each.photos: frozenset(each.names) for each in own}
    listed = tomllib.loads(GARMENTS.read_text(encoding="utf-8"))["garments"]
    colours = {photo: frozenset({each["colour"]}) for each in listed for photo in each["photos"]}
    renamed = [
        Domain(
            domain.name,
            domain.paths,
            [
                frozenset().union(
                    *(names.get(label, frozenset({label})) for label in labels), colours.get(path.name, ())
                )
                for path, labels in zip(domain.paths, domain.labels, strict=True)
            ],
        )
        for domain in domains
    ]
    paths = sorted(demo.glob("*.jpg"))
    return [*renamed, Domain("demo", paths, [frozenset({path.stem}) for path in paths])]


def _meant(written: Sequence[Mapping[str, Any]]) -> list[Meant]:
    return [[frozenset(labels) for labels in each["shows"]] for each in written]


def _written() -> dict[str, list[dict[str, Any]]]:
    return tomllib.loads(QUERIES.read_text(encoding="utf-8"))
