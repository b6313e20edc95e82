"""Owns the search among codes: items by cell, candidates up to a quota, the best of them ranked exactly."""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.lopq.model import Floats, LopqModel

Ids = NDArray[np.int64]
Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """The nearest items (at most `limit`), nearest first, with squared distances, and how much was looked at."""

    ids: Ids
    distances: Floats
    visited_cells: int
    candidates: int


@dataclass(frozen=True, slots=True, eq=False)
class _Visited:
    """Cells in the order of their visit: their clusters (2, C), and where each one's items start and end (C,)."""

    clusters: Rows
    starts: Rows
    ends: Rows

    def rows(self) -> Rows:
        """The candidates, cell after cell: (n,)."""
        counts = self.ends - self.starts
        # Each cell's own start, less how many candidates came before it.
        shifts = self.starts - np.cumsum(counts) + counts
        rows: Rows = np.arange(counts.sum()) + np.repeat(shifts, counts)
        return rows


class LopqIndex:
    """Holds a code and an id for each item, in the order of their cells; the embeddings themselves stay with the caller."""

    def __init__(self, model: LopqModel) -> None:
        self._model = model
        self._ids: Ids = np.zeros(0, np.int64)
        self._fine = np.zeros((0, 2 * model.parts.shape[1]), np.uint8)
        # Where each cell's items start, and the end of the last.
        self._starts: NDArray[np.int64] = np.zeros(model.clusters**2 + 1, np.int64)

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def code_bytes(self) -> int:
        """Bytes that all codes take, cells and ids not counted."""
        return self._fine.nbytes

    @property
    def nbytes(self) -> int:
        """Bytes of all that is held: codes, ids, the cells' starts and the model."""
        return self._fine.nbytes + self._ids.nbytes + self._starts.nbytes + self._model.nbytes

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
            np.concatenate((self._cells()[kept], self._model.cells(codes))),
            np.concatenate((self._fine[kept], codes.fine)),
        )

    def remove(self, ids: Ids) -> int:
        """Forget these items; returns how many were there."""
        kept = ~np.isin(self._ids, ids)
        removed = int((~kept).sum())
        self._hold(self._ids[kept], self._cells()[kept], self._fine[kept])
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
        visited = self._visit(halves, quota)
        rows = visited.rows()
        distances = self._distances(halves, visited, rows)
        best = _smallest(distances, limit if exact is None else shortlist or 10 * limit)
        ids, distances = self._ids[rows[best]], distances[best]
        if exact is not None and len(ids):
            distances = np.square(exact(ids) - query).sum(axis=1, dtype=np.float32)
            best = _smallest(distances, limit)
            ids, distances = ids[best], distances[best]
        return Neighbours(ids, distances, len(visited.starts), len(rows))

    def _visit(self, halves: Floats, quota: int) -> _Visited:
        """The nearest cells until there are `quota` items in them."""
        first, second = (np.square(halves[half] - self._model.centroids[half]).sum(axis=1) for half in (0, 1))
        cells: list[tuple[int, int]] = []
        bounds: list[tuple[int, int]] = []
        count = 0
        for row, column, _ in nearest_cells(first, second):
            if count >= min(quota, len(self)):
                break
            cell = row * self._model.clusters + column
            start, end = int(self._starts[cell]), int(self._starts[cell + 1])
            cells.append((row, column))
            bounds.append((start, end))
            count += end - start
        clusters, (starts, ends) = (np.asarray(pairs, np.intp).reshape(-1, 2).T for pairs in (cells, bounds))
        return _Visited(clusters, starts, ends)

    def _distances(self, halves: Floats, visited: _Visited, rows: Rows) -> Floats:
        """Approximate squared distances (n,) by look-up in the tables of the clusters that were visited."""
        total = np.zeros(len(rows), np.float32)
        counts = visited.ends - visited.starts
        for half, fine in enumerate(np.split(self._fine[rows], 2, axis=1)):
            clusters, which = np.unique(visited.clusters[half], return_inverse=True)
            tables = self._model.distance_tables(halves[half], half, clusters)
            # One look-up in all tables laid end to end is several times faster than one by cluster, part and code.
            table_starts = np.repeat(which * tables[:1].size, counts)[:, None]
            part_starts = np.arange(tables.shape[1]) * tables.shape[2]
            total += tables.ravel().take(fine + part_starts + table_starts).sum(axis=1)
        return total

    def _cells(self) -> NDArray[np.int64]:
        """Each item's cell (N,)."""
        return np.repeat(np.arange(len(self._starts) - 1), np.diff(self._starts))

    def _hold(self, ids: Ids, cells: NDArray[np.int64], fine: NDArray[np.uint8]) -> None:
        order = np.argsort(cells, kind="stable")
        self._ids, self._fine = ids[order], fine[order]
        self._starts = np.searchsorted(cells[order], np.arange(len(self._starts)))


def _smallest(distances: Floats, count: int) -> Rows:
    """Return the positions of the `count` smallest, smallest first."""
    if count < len(distances):
        head = np.argpartition(distances, count)[:count]
        return head[np.argsort(distances[head], kind="stable")]
    return np.argsort(distances, kind="stable")


def nearest_cells(first: NDArray[np.floating], second: NDArray[np.floating]) -> Iterator[tuple[int, int, float]]:
    """Give every pair of clusters once, by rising sum of their distances: (V,) of each half to the query.

    Gives the clusters' numbers and the sum. Lazy: a few cells cost a few steps of a heap, whatever V is.
    """
    order = np.argsort(first, kind="stable"), np.argsort(second, kind="stable")
    rows, columns = first[order[0]].tolist(), second[order[1]].tolist()
    # In row i the columns before reached[i] have been given, so a cell waits only when its upper and left ones went.
    reached = [0] * len(rows)
    waiting = [(rows[0] + columns[0], 0, 0)]
    while waiting:
        distance, i, j = heapq.heappop(waiting)
        yield int(order[0][i]), int(order[1][j]), distance
        reached[i] = j + 1
        if i + 1 < len(rows) and reached[i + 1] == j:
            heapq.heappush(waiting, (rows[i + 1] + columns[j], i + 1, j))
        if j + 1 < len(columns) and (i == 0 or reached[i - 1] > j + 1):
            heapq.heappush(waiting, (rows[i] + columns[j + 1], i, j + 1))
