"""Owns the learning of locally optimised product quantisation from a sample of embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import faiss
import numpy as np
from numpy.typing import NDArray

from training.lopq.model import Floats, LopqModel, nearest

MOST_POINTS = 65_536


@dataclass(frozen=True, slots=True)
class LopqConfig:
    """Sizes: `dimension` D after projection, `clusters` V for each half, `parts` M bytes a code, `centroids` S a part.

    More clusters make finer cells, of which a search visits more; more parts rank better and cost a byte each.
    """

    dimension: int = 128
    clusters: int = 16
    parts: int = 32
    centroids: int = 256
    coarse_iterations: int = 10
    part_iterations: int = 20
    restarts: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.parts % 2 or self.dimension % self.parts:
            raise ValueError(f"parts={self.parts} must be even and divide dimension={self.dimension}")
        if not 1 <= self.centroids <= 256:
            raise ValueError(f"centroids={self.centroids}: a byte tells 1 to 256 apart")
        if not 1 <= self.clusters <= 65_536:
            raise ValueError(f"clusters={self.clusters} must be 1 to 65,536")


@dataclass(frozen=True, slots=True, eq=False)
class Learnt:
    """Steps of learning that were taken before, as `LopqModel` describes their arrays; None is still to be learnt."""

    projection: tuple[Floats, Floats] | None = None
    """The mean and the axes."""
    centroids: Floats | None = None
    frames: tuple[Floats, Floats] | None = None
    """The residual means and the rotations."""
    parts: Floats | None = None

    @classmethod
    def of(cls, model: LopqModel) -> Self:
        """All four steps of a model; `dataclasses.replace` some by None to learn them anew."""
        return cls(
            projection=(model.mean, model.projection),
            centroids=model.centroids,
            frames=(model.residual_means, model.rotations),
            parts=model.parts,
        )


def fit(embeddings: Floats, config: LopqConfig, kept: Learnt | None = None) -> LopqModel:
    """Learn from a sample (N, E), of which a few hundred for each cluster make rotations that are worth it.

    What is `kept` stays as it is and the rest is learnt around it: new parts for the same cells, say, or rotations for
    centroids from elsewhere. Its arrays must have the sizes that `config` says, else ValueError.
    """
    embeddings = np.ascontiguousarray(embeddings, np.float32)
    count, width = embeddings.shape
    if count < max(config.clusters, config.centroids) or width < config.dimension:
        raise ValueError(
            f"a sample of {count} embeddings of {width} dimensions is too small for {config.clusters} clusters, "
            f"{config.centroids} centroids and {config.dimension} dimensions"
        )
    kept = kept or Learnt()
    mean, projection = kept.projection or _balanced_projection(embeddings, config.dimension)
    # Filled step by step, because each step needs the ones before.
    model = _blank(mean, projection, config)
    projected = model.project(embeddings)
    model = replace(model, centroids=_coarse(projected, config) if kept.centroids is None else kept.centroids)
    coarse = [nearest(projected[:, half], model.centroids[half]) for half in (0, 1)]
    residual_means, rotations = kept.frames or _frames(projected, coarse, model.centroids, config)
    model = replace(model, residual_means=residual_means, rotations=rotations)
    return replace(model, parts=_parts(projected, coarse, model, config) if kept.parts is None else kept.parts)


def _blank(mean: Floats, projection: Floats, config: LopqConfig) -> LopqModel:
    half = config.dimension // 2
    return LopqModel(
        mean=mean,
        projection=projection,
        centroids=np.zeros((2, config.clusters, half), np.float32),
        residual_means=np.zeros((2, config.clusters, half), np.float32),
        rotations=np.broadcast_to(np.eye(half, dtype=np.float32), (2, config.clusters, half, half)),
        parts=np.zeros((2, config.parts // 2, config.centroids, config.dimension // config.parts), np.float32),
    )


def _balanced_projection(embeddings: Floats, dimension: int) -> tuple[Floats, Floats]:
    """Find the mean and the principal axes, ordered so that both halves have the same variance."""
    mean = embeddings.mean(axis=0, dtype=np.float64)
    centred = embeddings - mean.astype(np.float32)
    eigenvalues, eigenvectors = np.linalg.eigh((centred.T @ centred).astype(np.float64) / max(len(embeddings) - 1, 1))
    eigenvalues, eigenvectors = eigenvalues[::-1][:dimension], eigenvectors[:, ::-1][:, :dimension]
    order = allocate_eigenvalues(2, eigenvalues)
    return mean.astype(np.float32), np.ascontiguousarray(eigenvectors.T[order], np.float32)


def _coarse(projected: Floats, config: LopqConfig) -> Floats:
    """Each half's centroids (2, V, D/2)."""
    return np.stack(
        [_k_means(projected[:, half], config.clusters, config.coarse_iterations, config) for half in (0, 1)]
    )


def _frames(
    projected: Floats, coarse: Sequence[NDArray[np.intp]], centroids: Floats, config: LopqConfig
) -> tuple[Floats, Floats]:
    """Each half's mean residuals (2, V, D/2) and rotations (2, V, D/2, D/2)."""
    frames = [
        _local_frames(projected[:, half] - centroids[half][coarse[half]], coarse[half], config) for half in (0, 1)
    ]
    return np.stack([means for means, _ in frames]), np.stack([rotations for _, rotations in frames])


def _local_frames(residuals: Floats, coarse: NDArray[np.intp], config: LopqConfig) -> tuple[Floats, Floats]:
    """Each cluster's mean residual (V, D/2) and rotation (V, D/2, D/2), whose rows are its axes shared out to parts."""
    half = residuals.shape[1]
    means = np.zeros((config.clusters, half), np.float32)
    rotations = np.tile(np.eye(half, dtype=np.float32), (config.clusters, 1, 1))
    for cluster in range(config.clusters):
        members = residuals[coarse == cluster]
        if len(members):
            means[cluster] = members.mean(axis=0)
        # Fewer points than dimensions do not tell the axes.
        if len(members) >= max(half, 2):
            eigenvalues, eigenvectors = np.linalg.eigh(
                np.cov(members, rowvar=False).astype(np.float64).reshape(half, half)
            )
            rotations[cluster] = eigenvectors.T[allocate_eigenvalues(config.parts // 2, eigenvalues)]
    return means, rotations


def _parts(projected: Floats, coarse: Sequence[NDArray[np.intp]], model: LopqModel, config: LopqConfig) -> Floats:
    """The centroids of every part (2, M/2, S, D/M), which all clusters of a half share."""
    parts = []
    for half in (0, 1):
        local = model.localise(projected[:, half], half, coarse[half])
        each = [local[:, part] for part in range(local.shape[1])]
        parts.append(np.stack([_k_means(points, config.centroids, config.part_iterations, config) for points in each]))
    return np.stack(parts)


def _k_means(points: Floats, count: int, iterations: int, config: LopqConfig) -> Floats:
    clustering = faiss.Kmeans(
        points.shape[1],
        count,
        niter=iterations,
        nredo=config.restarts,
        seed=config.seed,
        min_points_per_centroid=1,
        # Of a larger sample, faiss takes this many a centroid at random.
        max_points_per_centroid=max(256, MOST_POINTS // count),
    )
    clustering.train(np.ascontiguousarray(points))
    assert clustering.centroids is not None
    return clustering.centroids


def allocate_eigenvalues(buckets: int, eigenvalues: NDArray[np.floating]) -> NDArray[np.intp]:
    """Order dimensions so that consecutive runs of D / `buckets` have nearly equal products of eigenvalues.

    Returns a permutation of 0..D-1. The largest eigenvalue left goes to the bucket with the smallest product so far
    that still has room; the first such bucket on ties.
    """
    magnitudes = np.abs(np.asarray(eigenvalues, np.float64))
    room, rest = divmod(len(magnitudes), buckets)
    if rest:
        raise ValueError(f"{len(magnitudes)} dimensions cannot be shared out evenly into {buckets} parts")
    # Relative to the smallest, logarithms are not negative; a dimension that never varies adds nothing.
    smallest = magnitudes[magnitudes > 0].min(initial=np.inf)
    logs = np.log2(np.maximum(magnitudes / smallest, 1.0))

    members: list[list[int]] = [[] for _ in range(buckets)]
    sums = np.zeros(buckets)
    for dimension in np.argsort(-logs, kind="stable"):
        bucket = int(np.argmin(sums))
        members[bucket].append(int(dimension))
        sums[bucket] = np.inf if len(members[bucket]) == room else sums[bucket] + logs[dimension]
    return np.asarray([dimension for bucket in members for dimension in bucket], np.intp)
