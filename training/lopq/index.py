"""Owns the search among codes: items by cell, candidates up to a quota, the best of them ranked exactly."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.lopq.model import Codes, Floats, LopqModel
from training.lopq.multi_sequence import nearest_cells

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """The nearest items (at most `limit`), nearest first, with squared distances, and how much was looked at."""

    ids: Ids
    distances: Floats
    visited_cells: int
    candidates: int


class LopqIndex:
    """Holds codes, a cell and an id for each item; the embeddings themselves stay with the caller."""

    def __init__(self, model: LopqModel) -> None:
        self._model = model
        self._ids: Ids = np.zeros(0, np.int64)
        self._codes = model.encode(np.zeros((0, len(model.mean)), np.float32))
        # Where each cell's items start; the items are kept in the order of their cells.
        self._starts: NDArray[np.int64] = np.zeros(model.clusters**2 + 1, np.int64)

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def code_bytes(self) -> int:
        """Bytes that all codes take, cells and ids not counted."""
        return self._codes.fine.nbytes

    def add(self, ids: Ids, embeddings: Floats) -> None:
        """Add items (N,) with their embeddings (N, E); an id that is there already gets the new embedding.

        Costs a pass over everything held, so add in large batches.
        """
        ids = np.asarray(ids, np.int64)
        if len(np.unique(ids)) != len(ids) or len(ids) != len(embeddings):
            raise ValueError("each id must come once, with one embedding")
        codes = self._model.encode(embeddings)
        kept = ~np.isin(self._ids, ids)
        self._hold(
            np.concatenate((self._ids[kept], ids)),
            np.concatenate((self._codes.coarse[kept], codes.coarse)),
            np.concatenate((self._codes.fine[kept], codes.fine)),
        )

    def remove(self, ids: Ids) -> int:
        """Forget these items; returns how many were there."""
        kept = ~np.isin(self._ids, ids)
        removed = int((~kept).sum())
        self._hold(self._ids[kept], self._codes.coarse[kept], self._codes.fine[kept])
        return removed

    def search(
        self,
        query: Floats,
        *,
        limit: int,
        quota: int = 2_000,
        exact: Callable[[Ids], Floats] | None = None,
        shortlist: int | None = None,
    ) -> Neighbours:
        """Find the nearest items to an embedding (E,).

        Whole cells are taken, nearest first, until `quota` candidates are there: many times `limit`, or items in
        neighbouring cells are missed. Codes rank them. With `exact`, which gives the embeddings (n, E) of ids (n,), the
        best `shortlist` (10 times `limit`) are ranked anew by true distance.
        """
        if quota < limit:
            raise ValueError(f"quota={quota} candidates cannot give limit={limit} neighbours")
        halves = self._model.project(query[None])[0]
        rows, visited = self._candidates(halves, quota)
        distances = self._distances(halves, rows)
        best = _smallest(distances, limit if exact is None else shortlist or 10 * limit)
        ids, distances = self._ids[rows[best]], distances[best]
        if exact is not None and len(ids):
            distances = ((exact(ids) - query) ** 2).sum(axis=1, dtype=np.float32)
            best = _smallest(distances, limit)
            ids, distances = ids[best], distances[best]
        return Neighbours(ids, distances, visited, len(rows))

    def _candidates(self, halves: Floats, quota: int) -> tuple[NDArray[np.intp], int]:
        """Rows of the nearest cells until there are `quota`, and the number of cells visited."""
        first, second = (((halves[half] - self._model.centroids[half]) ** 2).sum(axis=1) for half in (0, 1))
        chosen, count, visited = [np.zeros(0, np.intp)], 0, 0
        for row, column, _ in nearest_cells(first, second):
            if count >= min(quota, len(self)):
                break
            cell = row * self._model.clusters + column
            start, end = self._starts[cell], self._starts[cell + 1]
            chosen.append(np.arange(start, end))
            count, visited = count + int(end - start), visited + 1
        return np.concatenate(chosen), visited

    def _distances(self, halves: Floats, rows: NDArray[np.intp]) -> Floats:
        """Approximate squared distances (n,) by look-up in the tables of the clusters that occur."""
        total = np.zeros(len(rows), np.float32)
        fine = np.split(self._codes.fine[rows], 2, axis=1)
        for half in (0, 1):
            clusters, which = np.unique(self._codes.coarse[rows, half], return_inverse=True)
            tables = self._model.distance_tables(halves[half], half, clusters)
            total += tables[which[:, None], np.arange(tables.shape[1]), fine[half]].sum(axis=1)
        return total

    def _hold(self, ids: Ids, coarse: NDArray[np.uint16], fine: NDArray[np.uint8]) -> None:
        clusters = self._model.clusters
        cells = coarse[:, 0].astype(np.int64) * clusters + coarse[:, 1]
        order = np.argsort(cells, kind="stable")
        self._ids, self._codes = ids[order], Codes(coarse[order], fine[order])
        self._starts = np.searchsorted(cells[order], np.arange(clusters**2 + 1))


def _smallest(distances: Floats, count: int) -> NDArray[np.intp]:
    """Return the positions of the `count` smallest, smallest first."""
    if count < len(distances):
        head = np.argpartition(distances, count)[:count]
        return head[np.argsort(distances[head], kind="stable")]
    return np.argsort(distances, kind="stable")
