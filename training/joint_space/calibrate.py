"""Fits what scores of the joint space say: how likely a photo is right, and from where on it looks like what is asked for.

Fitted to photos of groceries and of clothes, each a gallery of its own, and checked on everyday photos, which nothing is fitted
to. Queries are photos, words and drawings. Each is asked twice: of all photos of a gallery, and of all but those that it means,
where nothing that it finds is right. Whether the first hits are right is fitted to their scores by logistic regression (Platt,
"Probabilistic outputs for support vector machines", 1999). The lowest score is the one that STRANGERS_SILENT of the queries do not
reach that ask a gallery for what it has nothing like, such as a bicycle among groceries.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from domain.calibration import Calibration
from encoders.bundle import Bundle
from training.joint_space.domains import Domain
from training.joint_space.evaluate import Answers, JointSpaceEvaluation
from training.joint_space.export import IMAGE, SKETCH, TEXT
from training.joint_space.questions import Questions, likeness, sentences

FITTED, CHECKED = ("grocery", "clothing"), "everyday"
FIRST_HITS = 20  # of a query are fitted to
SHOWN_HITS = 10  # of a query are checked
STRANGERS_SILENT = 0.97
SCORES = np.arange(0.2, 0.95, 0.01)
BINS = 10

Values = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class FirstHits:
    """The first hits of a query, best first: their scores, and whether they are right; with `is_there` some could be."""

    scores: Values
    right: Flags
    is_there: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """What queries of one kind found in one gallery, and the best scores of those that ask for what it has nothing like."""

    hits: Sequence[FirstHits]
    strangers: Values


@dataclass(frozen=True, slots=True)
class Check:
    """How a calibration does.

    `kept` is the share of right hits that are shown, `strangers_silent` that of queries without an answer which ask for what a
    gallery has nothing like, `near_silent` that of those for a kind that was taken out of it, beside others like it. `bins` are of confidences: how many hits, their mean confidence, and the share that is right; `error` is the expected
    calibration error over them.
    """

    kept: float
    strangers_silent: float
    near_silent: float
    error: float
    bins: Sequence[tuple[int, float, float]]


def calibrate(evaluation: JointSpaceEvaluation, answers: Answers) -> dict[str, tuple[Calibration, dict[str, Check]]]:
    """For each bundle its calibration, and how that does in each gallery."""
    found = {}
    for bundle, questions in _questions(evaluation).items():
        asked = {name: _asked(questions, gallery, answers) for name, gallery in _galleries(evaluation).items()}
        calibration = fitted([asked[name] for name in FITTED])
        found[bundle] = (calibration, {name: checked(calibration, each) for name, each in asked.items()})
    return found


def write_calibrations(models: Path, calibrations: Mapping[str, Calibration]) -> None:
    """Write them into the descriptions of the bundles below `models`."""
    for name, calibration in calibrations.items():
        bundle = replace(Bundle.load(models / name), calibration=calibration)
        bundle.write(bundle.folder)


def fitted(asked: Sequence[Asked]) -> Calibration:
    """The calibration of queries of one kind."""
    hits = [each for gallery in asked for each in gallery.hits]
    intercept, slope = _logistic(
        np.concatenate([each.scores for each in hits]), np.concatenate([each.right for each in hits])
    )
    silent = np.mean([[np.mean(each.strangers < score) for score in SCORES] for each in asked], axis=0)
    lowest = SCORES[int(np.argmax(silent >= STRANGERS_SILENT))]
    return Calibration(round(intercept, 3), round(slope, 3), round(float(lowest), 2))


def checked(calibration: Calibration, asked: Asked) -> Check:
    """How a calibration does."""
    shown = [(each.scores[:SHOWN_HITS], each.right[:SHOWN_HITS], each.is_there) for each in asked.hits]
    kept = np.concatenate([scores[right] >= calibration.lowest_score for scores, right, is_there in shown if is_there])
    near = [scores[0] < calibration.lowest_score for scores, _, is_there in shown if not is_there]
    scores, right = (np.concatenate([each[part] for each in shown]) for part in (0, 1))
    confidences = np.array([calibration.confidence(float(score)) for score in scores])
    bins = list(_bins(confidences, right))
    return Check(
        kept=float(np.mean(kept)),
        strangers_silent=float(np.mean(asked.strangers < calibration.lowest_score)),
        near_silent=float(np.mean(near)),
        error=sum(count * abs(confidence - share) for count, confidence, share in bins) / len(confidences),
        bins=bins,
    )


def _bins(confidences: Values, right: Flags) -> Iterator[tuple[int, float, float]]:
    number = np.minimum((confidences * BINS).astype(int), BINS - 1)
    for each in range(BINS):
        is_in = number == each
        count = int(is_in.sum())
        yield (count, float(confidences[is_in].mean()), float(right[is_in].mean())) if count else (0, 0.0, 0.0)


def _logistic(scores: Values, right: Flags) -> tuple[float, float]:
    """Intercept and slope, by Newton's method."""
    inputs, factors = np.stack([np.ones_like(scores), scores], axis=1), np.zeros(2)
    for _ in range(100):
        chances = 1 / (1 + np.exp(-inputs @ factors))
        weighted = inputs * (chances * (1 - chances))[:, None]
        step = np.linalg.solve(weighted.T @ inputs + 1e-6 * np.eye(2), inputs.T @ (right - chances))
        factors = factors + step
        if np.abs(step).max() < 1e-9:
            break
    return float(factors[0]), float(factors[1])


def _galleries(evaluation: JointSpaceEvaluation) -> dict[str, Domain]:
    """By name; groceries share a kind where they are of one family, such as apples."""
    named = {domain.name: domain for domain in evaluation.everything}
    return {domain.name: domain for domain in evaluation.domains} | {"grocery": named["grocery"]}


def _questions(evaluation: JointSpaceEvaluation) -> dict[str, list[Questions]]:
    """The questions of each kind, by the bundle that embeds them."""
    words = [asked for domain in evaluation.domains for asked in sentences(domain) if asked.name.endswith("_names")]
    return {
        IMAGE: [likeness(gallery) for gallery in _galleries(evaluation).values()],
        TEXT: [*words, *evaluation.plain],
        SKETCH: [asked for asked in evaluation.questions if asked.name == "drawings"],
    }


def _asked(questions: Sequence[Questions], gallery: Domain, answers: Answers) -> Asked:
    """What these questions find in a gallery; those that mean photos of other galleries alone are strangers."""
    hits, strangers, names = list[FirstHits](), list[float](), [gallery.name]
    for asked in questions:
        scores = answers.scores([gallery], asked.queries)
        shown = np.array([domain.name in names for domain in asked.gallery for _ in domain.labels])
        right = asked.right()[:, shown] if shown.any() else np.zeros((len(asked.queries), len(gallery.labels)), bool)
        for row, (of_photos, meant) in enumerate(zip(scores, right, strict=True)):
            others = np.ones(len(of_photos), bool)
            if asked.are_own and shown.any():
                others[row] = False
            if not (meant & others).any():
                # A photo without another of its kind is among its like: nothing is known of it.
                strangers += [] if shown.any() and asked.are_own else [float(of_photos.max())]
                continue
            hits.append(_first(of_photos[others], meant[others], is_there=True))
            hits.append(_first(of_photos[others & ~meant], meant[others & ~meant], is_there=False))
    return Asked(hits, np.array(strangers))


def _first(scores: NDArray[np.float32], right: Flags, *, is_there: bool) -> FirstHits:
    first = np.argsort(-scores, kind="stable")[:FIRST_HITS]
    return FirstHits(scores[first].astype(float), right[first], is_there)
