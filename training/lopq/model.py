"""Owns locally optimised product quantisation: what was learnt, and how an embedding becomes a code and back."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

CHUNK = 8_192


@dataclass(frozen=True, slots=True, eq=False)
class Codes:
    """Of N embeddings: the nearest centroid of each half, (N, 2), and one byte a part, (N, M)."""

    coarse: NDArray[np.uint16]
    fine: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.coarse)


@dataclass(frozen=True, slots=True, eq=False)
class LopqModel:
    """V coarse clusters for each half of D dimensions, M parts of S centroids.

    Embeddings (E,) are centred and projected to D dimensions first, ordered so that both halves vary alike. Each
    cluster has its own mean residual and rotation; a half's parts are shared by its clusters.
    """

    mean: Floats  # (E,)
    projection: Floats  # (D, E)
    centroids: Floats  # (2, V, D/2)
    residual_means: Floats  # (2, V, D/2)
    rotations: Floats  # (2, V, D/2, D/2), local = rotation @ residual
    parts: Floats  # (2, M/2, S, D/M)

    def __post_init__(self) -> None:
        clusters, half, parts = self.clusters, self.projection.shape[0] // 2, self.parts.shape[1]
        expected = {
            "mean": (self.projection.shape[1],),
            "centroids": (2, clusters, half),
            "residual_means": (2, clusters, half),
            "rotations": (2, clusters, half, half),
            "parts": (2, parts, self.parts.shape[2], math.ceil(half / parts)),
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} is {getattr(self, name).shape}, and {shape} would fit the other arrays")

    @property
    def clusters(self) -> int:
        """V, of each half; there are V² cells."""
        return int(self.centroids.shape[1])

    @property
    def nbytes(self) -> int:
        """Bytes of all that was learnt."""
        return sum(getattr(self, field.name).nbytes for field in fields(self))

    def project(self, embeddings: Floats) -> Floats:
        """Map embeddings (N, E) to the space (N, 2, D/2) in which distances are approximated."""
        centred = np.asarray(embeddings, np.float32) - self.mean
        projected: Floats = np.matmul(centred, self.projection.T, dtype=np.float32)
        return projected.reshape(len(centred), 2, self.centroids.shape[2])

    def encode(self, embeddings: Floats) -> Codes:
        """Code embeddings (N, E), M bytes and a cell each."""
        chunks = [self._encode(self.project(embeddings[start : start + CHUNK])) for start in _starts(len(embeddings))]
        return Codes(
            np.concatenate([chunk.coarse for chunk in chunks]), np.concatenate([chunk.fine for chunk in chunks])
        )

    def cells(self, codes: Codes) -> NDArray[np.int64]:
        """Number the cell of each code (N,), row by row: 0 to V² - 1."""
        numbers: NDArray[np.int64] = codes.coarse[:, 0].astype(np.int64) * self.clusters + codes.coarse[:, 1]
        return numbers

    def reconstruct(self, codes: Codes) -> Floats:
        """Return what codes stand for, in the space of `project`: (N, 2, D/2)."""
        halves: list[Floats] = []
        parts_a_half = self.parts.shape[1]
        for half, parts in enumerate(self.parts):
            fine = codes.fine[:, half * parts_a_half : (half + 1) * parts_a_half]
            local: Floats = parts[np.arange(parts_a_half), fine].reshape(len(codes), self.centroids.shape[2])
            residual = np.empty_like(local)
            for cluster, rows in _by_cluster(codes.coarse[:, half]):
                residual[rows] = local[rows] @ self.rotations[half, cluster]
            halves.append(residual + self._centres(half)[codes.coarse[:, half]])
        return np.stack(halves, axis=1)

    def distance_tables(self, query: Floats, half: int, clusters: NDArray[np.integer]) -> Floats:
        """Squared distances of a projected query's half (D/2,) to every centroid of every part: (clusters, M/2, S).

        An item's distance to the query is the sum of M entries, those of its code in the tables of its two clusters.
        """
        parts = self.parts[half]
        residual = query - self._centres(half)[clusters]
        local = np.matmul(self.rotations[half, clusters], residual[:, :, None])
        local = local.reshape(len(clusters), len(parts), parts.shape[2])
        # |a - b|² as |a|² - 2ab + |b|²: one product a part instead of every difference.
        products = np.matmul(local.swapaxes(0, 1), parts.swapaxes(1, 2)).swapaxes(0, 1)
        distances: Floats = np.square(local).sum(axis=2)[:, :, None] - 2 * products + np.square(parts).sum(axis=2)
        return distances

    def localise(self, halves: Floats, half: int, coarse: NDArray[np.integer]) -> Floats:
        """Turn one half of projected embeddings (N, D/2) into the frames of their clusters (N, M/2, D/M)."""
        residual = halves - self._centres(half)[coarse]
        local: Floats = np.empty_like(residual)
        for cluster, rows in _by_cluster(coarse):
            local[rows] = residual[rows] @ self.rotations[half, cluster].T
        return local.reshape(len(local), self.parts.shape[1], self.parts.shape[3])

    def save(self, path: Path) -> None:
        """Write an `.npz` of plain arrays."""
        with path.open("wb") as out:
            np.savez(out, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; nothing in the file can run."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(**{field.name: arrays[field.name] for field in fields(cls)})

    def _encode(self, projected: Floats) -> Codes:
        coarse = np.stack([nearest(projected[:, half], self.centroids[half]) for half in (0, 1)], axis=1)
        fine: list[NDArray[np.intp]] = []
        for half, parts in enumerate(self.parts):
            local = self.localise(projected[:, half], half, coarse[:, half])
            fine.extend(nearest(local[:, number], part) for number, part in enumerate(parts))
        return Codes(coarse.astype(np.uint16), np.stack(fine, axis=1).astype(np.uint8))

    def _centres(self, half: int) -> Floats:
        centres: Floats = self.centroids[half] + self.residual_means[half]
        return centres


def nearest(points: Floats, centroids: Floats) -> NDArray[np.intp]:
    """Return the number of the nearest centroid (S, d) of each point (N, d)."""
    numbers: NDArray[np.intp] = np.argmin((centroids**2).sum(axis=1) - 2 * points @ centroids.T, axis=1)
    return numbers


def _by_cluster(coarse: NDArray[np.integer]) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Give each cluster that occurs, and its rows."""
    order = np.argsort(coarse, kind="stable")
    clusters, starts = np.unique(coarse[order], return_index=True)
    for cluster, rows in zip(clusters, np.split(order, starts)[1:], strict=True):
        yield int(cluster), rows


def _starts(count: int) -> range:
    return range(0, max(count, 1), CHUNK)
