"""Owns the order in which the cells of two independent clusterings are visited: nearest first."""

import heapq
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


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
