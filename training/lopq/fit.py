"""Owns the learning of locally optimised product quantisation from a sample of embeddings."""

from dataclasses import dataclass, replace

import faiss
import numpy as np
from numpy.typing import NDArray

from training.lopq.allocation import allocate_eigenvalues
from training.lopq.model import Floats, LopqModel, nearest


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


def fit(embeddings: Floats, config: LopqConfig) -> LopqModel:
    """Learn from a sample (N, E), of which a few hundred for each cluster make rotations that are worth it."""
    embeddings = np.ascontiguousarray(embeddings, np.float32)
    count, width = embeddings.shape
    if count < max(config.clusters, config.centroids) or width < config.dimension:
        raise ValueError(
            f"a sample of {count} embeddings of {width} dimensions is too small for {config.clusters} clusters, "
            f"{config.centroids} centroids and {config.dimension} dimensions"
        )
    mean, projection = _balanced_projection(embeddings, config.dimension)
    half = config.dimension // 2
    # A model without local frames or parts, to be filled step by step: each needs the one before.
    model = LopqModel(
        mean=mean,
        projection=projection,
        centroids=np.zeros((2, config.clusters, half), np.float32),
        residual_means=np.zeros((2, config.clusters, half), np.float32),
        rotations=np.broadcast_to(np.eye(half, dtype=np.float32), (2, config.clusters, half, half)),
        parts=np.zeros((2, config.parts // 2, config.centroids, config.dimension // config.parts), np.float32),
    )
    projected = model.project(embeddings)
    model = replace(model, centroids=np.stack([_coarse(projected[:, side], config) for side in (0, 1)]))
    coarse = [nearest(projected[:, side], model.centroids[side]) for side in (0, 1)]
    frames = [
        _local_frames(projected[:, side] - model.centroids[side][coarse[side]], coarse[side], config) for side in (0, 1)
    ]
    model = replace(
        model,
        residual_means=np.stack([means for means, _ in frames]),
        rotations=np.stack([turns for _, turns in frames]),
    )
    parts = []
    for side in (0, 1):
        local = model.localise(projected[:, side], side, coarse[side])
        parts.append(np.stack([_part(local[:, number], config) for number in range(local.shape[1])]))
    return replace(model, parts=np.stack(parts))


def _balanced_projection(embeddings: Floats, dimension: int) -> tuple[Floats, Floats]:
    """Find the mean and the principal axes, ordered so that both halves have the same variance."""
    mean = embeddings.mean(axis=0, dtype=np.float64)
    centred = embeddings - mean.astype(np.float32)
    eigenvalues, vectors = np.linalg.eigh((centred.T @ centred).astype(np.float64) / max(len(embeddings) - 1, 1))
    eigenvalues, vectors = eigenvalues[::-1][:dimension], vectors[:, ::-1][:, :dimension]
    order = allocate_eigenvalues(2, eigenvalues)
    return mean.astype(np.float32), np.ascontiguousarray(vectors.T[order], np.float32)


def _coarse(points: Floats, config: LopqConfig) -> Floats:
    return _k_means(points, config.clusters, config.coarse_iterations, config)


def _part(points: Floats, config: LopqConfig) -> Floats:
    return _k_means(points, config.centroids, config.part_iterations, config)


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
            eigenvalues, vectors = np.linalg.eigh(np.cov(members, rowvar=False).astype(np.float64).reshape(half, half))
            rotations[cluster] = vectors.T[allocate_eigenvalues(config.parts // 2, eigenvalues)]
    return means, rotations


def _k_means(points: Floats, count: int, iterations: int, config: LopqConfig) -> Floats:
    clustering = faiss.Kmeans(
        points.shape[1],
        count,
        niter=iterations,
        nredo=config.restarts,
        seed=config.seed,
        min_points_per_centroid=1,
    )
    clustering.train(np.ascontiguousarray(points))
    assert clustering.centroids is not None
    return clustering.centroids
