"""Owns every figure of retrieval: recall, average precision, ranks, pair AUC and EER, and what may not be found."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

Scores = NDArray[np.float32]
Flags = NDArray[np.bool_]
# Of some queries, by their row numbers (n,): a flag for each gallery item, (n, G) or, alike for all of them, (G,).
Pairs = Callable[[NDArray[np.intp]], Flags]

CHUNK_PAIRS = 8_000_000


@dataclass(frozen=True, slots=True)
class QueryFigures:
    """One value a query with anything to find, in query order; `unanswerable` counts the others.

    `first_rank` is that of the best relevant item: 1 + how many score strictly higher; `first_rank_last` counts those
    that tie with it as well. `ap_at_k` divides by what a perfect answer finds in the top k, `ap_found_at_k` (the
    published CompCars figure, generous) by what this answer found there.
    """

    rows: NDArray[np.intp]
    hits_within: dict[int, Flags]
    ap: NDArray[np.float64]
    ap_at_k: NDArray[np.float64]
    ap_found_at_k: NDArray[np.float64]
    precision_at_k: NDArray[np.float64]
    first_rank: NDArray[np.intp]
    first_rank_last: NDArray[np.intp]
    cutoff: int
    unanswerable: int

    def recall(self, k: int) -> float:
        """The share of queries with a relevant item among the first k."""
        return float(self.hits_within[k].mean())

    def summary(self) -> dict[str, float]:
        """Means over the answerable queries, shares in 0..1."""
        if not len(self.rows):
            raise ValueError("no query has anything relevant in the gallery; check the labels and the masks")
        return {
            **{f"r{k}": self.recall(k) for k in self.hits_within},
            "map": float(self.ap.mean()),
            f"map{self.cutoff}": float(self.ap_at_k.mean()),
            f"map_found{self.cutoff}": float(self.ap_found_at_k.mean()),
            f"precision{self.cutoff}": float(self.precision_at_k.mean()),
            "mrr": float((1 / self.first_rank).mean()),
            "mean_rank": float(self.first_rank.mean()),
            "median_rank": float(np.median(self.first_rank)),
            "mean_rank_pessimistic": float(self.first_rank_last.mean()),
            "queries": float(len(self.rows)),
            "unanswerable": float(self.unanswerable),
        }


def evaluate(
    queries: Scores,
    gallery: Scores,
    is_relevant: Pairs,
    *masks: Pairs,
    ks: Sequence[int] = (1, 5, 10),
    cutoff: int = 20,
) -> QueryFigures:
    """Rank the gallery (G, D) for each query (Q, D) by inner product, on a GPU where there is one; ties keep gallery order.

    What any mask flags can neither be found nor be missed. Holds a few million scores at a time, so 10,000 queries
    over 100,000 items need some 300 MB.
    """
    mips = Mips(gallery)
    parts = [
        _chunk_figures(mips.scores(queries[rows]), rows, is_relevant, masks, ks=ks, cutoff=cutoff)
        for rows in _chunks(len(queries), len(gallery))
    ]
    return _joined(parts, ks, cutoff)


def evaluate_scores(
    scores: Scores, is_relevant: Pairs, *masks: Pairs, ks: Sequence[int] = (1, 5, 10), cutoff: int = 20
) -> QueryFigures:
    """The same for scores (Q, G) that are already there; higher is nearer."""
    rows = np.arange(len(scores))
    return _joined([_chunk_figures(scores.copy(), rows, is_relevant, masks, ks=ks, cutoff=cutoff)], ks, cutoff)


def same_label(query_labels: ArrayLike, gallery_labels: ArrayLike) -> Pairs:
    """Flag pairs whose labels agree: the relevance of identities, models and targets."""
    of_query, of_gallery = np.asarray(query_labels), np.asarray(gallery_labels)
    return lambda rows: of_query[rows, None] == of_gallery


def shared_label(query_labels: Flags, gallery_labels: Flags) -> Pairs:
    """Flag pairs that share a label, each side given as (N, L) flags: a photo has many objects."""
    # float32, because only floating-point products are fast.
    of_query, of_gallery = query_labels.astype(np.float32), gallery_labels.T.astype(np.float32)
    return lambda rows: (of_query[rows] @ of_gallery) > 0


def own_id(query_ids: ArrayLike, gallery_ids: ArrayLike) -> Pairs:
    """Mask the gallery item that is the query itself."""
    return same_label(query_ids, gallery_ids)


def withheld(flags: ArrayLike) -> Pairs:
    """Mask the flagged gallery items (G,) for every query: the validation images of the published protocol."""
    mask = np.asarray(flags, bool)
    return lambda _rows: mask


def minor_classes(gallery_labels: ArrayLike, training_labels: ArrayLike, *, at_least: int = 58) -> Pairs:
    """Mask gallery items whose class has fewer than `at_least` training images."""
    classes, counts = np.unique(np.asarray(training_labels), return_counts=True)
    return withheld(~np.isin(np.asarray(gallery_labels), classes[counts >= at_least]))


def duplicate_paths(paths: Sequence[str]) -> Pairs:
    """Mask every gallery item whose path an earlier one has: captions repeat their image."""
    mask = np.ones(len(paths), bool)
    mask[np.unique(np.asarray(paths), return_index=True)[1]] = False
    return withheld(mask)


@dataclass(frozen=True, slots=True)
class PairFigures:
    """How well a score tells same pairs from different ones; at `threshold` and above a pair counts as the same."""

    auc: float
    eer: float
    threshold: float


def pair_figures(scores: ArrayLike, is_same: ArrayLike) -> PairFigures:
    """ROC-AUC, and the equal error rate where false positives and false negatives are nearest to each other."""
    values, same = np.asarray(scores, np.float64), np.asarray(is_same, bool)
    if not same.any() or same.all():
        raise ValueError("pair figures need at least one same and one different pair")
    thresholds, group = np.unique(values, return_inverse=True)
    same_at = np.bincount(group, same, len(thresholds))
    different_at = np.bincount(group, ~same, len(thresholds))
    # Error rates when a threshold is set at each value; a same pair below it is missed.
    missed = (np.cumsum(same_at) - same_at) / same_at.sum()
    mistaken = np.cumsum(different_at[::-1])[::-1] / different_at.sum()
    different_below = np.cumsum(different_at) - different_at
    auc = (same_at * (different_below + different_at / 2)).sum() / (same_at.sum() * different_at.sum())
    best = int(np.argmin(np.abs(missed - mistaken)))
    return PairFigures(float(auc), float((missed[best] + mistaken[best]) / 2), float(thresholds[best]))


def neighbour_recall(found: NDArray[np.integer], exact: NDArray[np.integer]) -> float:
    """The share of the exact neighbours' ids (Q, k) that an approximate search found (Q, any; negative is none)."""
    fractions = [np.isin(expected, got[got >= 0]).mean() for got, expected in zip(found, exact, strict=True)]
    return float(np.mean(fractions))


class Mips:
    """A gallery (G, D), which a GPU keeps while it is asked."""

    def __init__(self, gallery: Scores, *, on_gpu: bool | None = None) -> None:
        is_there = torch.cuda.is_available() if on_gpu is None else on_gpu
        self._gallery = gallery
        self._on_gpu = torch.tensor(gallery, device="cuda") if is_there else None

    def scores(self, queries: Scores) -> Scores:
        """The inner products (Q, G) of queries (Q, D), in float32."""
        if self._on_gpu is None:
            return queries @ self._gallery.T
        products: Scores = (torch.tensor(queries, device="cuda") @ self._on_gpu.T).cpu().numpy()
        return products


def _chunks(queries: int, gallery: int) -> Iterator[NDArray[np.intp]]:
    step = max(1, CHUNK_PAIRS // max(gallery, 1))
    for start in range(0, queries, step):
        yield np.arange(start, min(start + step, queries))


def _chunk_figures(
    scores: Scores,
    rows: NDArray[np.intp],
    is_relevant: Pairs,
    masks: Sequence[Pairs],
    *,
    ks: Sequence[int],
    cutoff: int,
) -> QueryFigures:
    if np.isnan(scores).any():
        raise ValueError("a score is not a number; check the embeddings")
    relevant = np.broadcast_to(is_relevant(rows), scores.shape).copy()
    for mask in masks:
        hidden = np.broadcast_to(mask(rows), scores.shape)
        scores[hidden] = -np.inf
        relevant &= ~hidden
    answerable = relevant.any(axis=1)
    scores, relevant = scores[answerable], relevant[answerable]

    order = np.argsort(-scores, axis=1, kind="stable")
    hits = np.take_along_axis(relevant, order, axis=1)
    total = relevant.sum(axis=1)
    precision = np.cumsum(hits, axis=1, dtype=np.float32) / np.arange(1, hits.shape[1] + 1, dtype=np.float32)
    precision *= hits
    head, found = precision[:, :cutoff].sum(axis=1, dtype=np.float64), hits[:, :cutoff].sum(axis=1)
    best = np.max(scores, axis=1, where=relevant, initial=-np.inf)[:, None]
    return QueryFigures(
        rows=rows[answerable],
        hits_within={k: np.any(hits[:, :k], axis=1, keepdims=True)[:, 0] for k in ks},
        ap=precision.sum(axis=1, dtype=np.float64) / total,
        ap_at_k=head / np.minimum(cutoff, total),
        ap_found_at_k=head / np.maximum(found, 1),
        precision_at_k=found / cutoff,
        first_rank=1 + (scores > best).sum(axis=1),
        first_rank_last=(scores > best).sum(axis=1) + ((scores == best) & ~relevant).sum(axis=1) + 1,
        cutoff=cutoff,
        unanswerable=int((~answerable).sum()),
    )


def _joined(parts: Sequence[QueryFigures], ks: Sequence[int], cutoff: int) -> QueryFigures:
    return QueryFigures(
        rows=np.concatenate([part.rows for part in parts]),
        hits_within={k: np.concatenate([part.hits_within[k] for part in parts]) for k in ks},
        ap=np.concatenate([part.ap for part in parts]),
        ap_at_k=np.concatenate([part.ap_at_k for part in parts]),
        ap_found_at_k=np.concatenate([part.ap_found_at_k for part in parts]),
        precision_at_k=np.concatenate([part.precision_at_k for part in parts]),
        first_rank=np.concatenate([part.first_rank for part in parts]),
        first_rank_last=np.concatenate([part.first_rank_last for part in parts]),
        cutoff=cutoff,
        unanswerable=sum(part.unanswerable for part in parts),
    )
