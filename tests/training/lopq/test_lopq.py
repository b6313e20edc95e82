from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from training.lopq.fit import LopqConfig, fit
from training.lopq.index import LopqIndex
from training.lopq.model import Codes, LopqModel
from training.metrics import neighbour_recall

Floats = NDArray[np.float32]
CONFIG = LopqConfig(dimension=16, clusters=4, parts=8, centroids=32, seed=1)


@pytest.fixture(scope="module")
def embeddings() -> Floats:
    """4,000 unit embeddings of 24 dimensions, in bunches of different shapes, as images make them."""
    rng = np.random.default_rng(0)
    centres, shapes = rng.normal(size=(40, 24)), rng.exponential(size=(40, 24)) * 0.5
    bunch = rng.integers(0, 40, 4_000)
    points = (centres[bunch] + rng.normal(size=(4_000, 24)) * shapes[bunch]).astype(np.float32)
    unit: Floats = points / np.linalg.norm(points, axis=1, keepdims=True)
    return unit


@pytest.fixture(scope="module")
def model(embeddings: Floats) -> LopqModel:
    return fit(embeddings[:3_000], CONFIG)


@pytest.fixture
def index(model: LopqModel, embeddings: Floats) -> LopqIndex:
    filled = LopqIndex(model)
    filled.add(np.arange(len(embeddings)), embeddings)
    return filled


def squared(first: Floats, second: Floats) -> Floats:
    """Squared distances of (N, ...) to (N, ...), row by row: (N,)."""
    distances: Floats = np.square(first - second).reshape(len(first), -1).sum(axis=1, dtype=np.float32)
    return distances


def test_axes_are_orthogonal(model: LopqModel) -> None:
    """Projection and rotations keep distances, so distances between codes mean something."""
    identity = np.broadcast_to(np.eye(8), (2, 4, 8, 8))

    np.testing.assert_allclose(model.projection @ model.projection.T, np.eye(16), atol=1e-5)
    np.testing.assert_allclose(model.rotations @ model.rotations.swapaxes(2, 3), identity, atol=1e-5)


def test_halves_vary_alike(model: LopqModel, embeddings: Floats) -> None:
    """Their eigenvalues' products are balanced before anything is clustered."""
    variances = np.log(model.project(embeddings[:3_000]).var(axis=0)).sum(axis=1)

    assert abs(variances[0] - variances[1]) < 1


def test_codes_are_nearer_than_their_cluster(model: LopqModel, embeddings: Floats) -> None:
    """On what was learnt from, a reconstruction beats the coarse centroids alone, by far."""
    projected = model.project(embeddings[:3_000])
    codes = model.encode(embeddings[:3_000])
    coarse = np.stack([model.centroids[half][codes.coarse[:, half]] for half in (0, 1)], axis=1)

    assert squared(model.reconstruct(codes), projected).mean() < 0.3 * squared(coarse, projected).mean()


def test_table_distances_are_distances_to_the_reconstruction(model: LopqModel, embeddings: Floats) -> None:
    """Because rotations are orthogonal, the sum of look-ups is exact for what the code stands for."""
    codes, query = model.encode(embeddings[:200]), model.project(embeddings[3_500:3_501])[0]
    expected = squared(model.reconstruct(codes), query[None])
    fine = np.split(codes.fine, 2, axis=1)
    found = np.zeros(200, np.float32)
    for half in (0, 1):
        tables = model.distance_tables(query[half], half, np.arange(4))
        found += tables[codes.coarse[:, half, None], np.arange(4), fine[half]].sum(axis=1)

    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_rotations_make_the_parts_independent(model: LopqModel, embeddings: Floats) -> None:
    """What the L of LOPQ is for: in its own frame a cluster's dimensions no longer vary together."""
    upright = replace(model, rotations=np.broadcast_to(np.eye(8, dtype=np.float32), model.rotations.shape))
    coarse, first_half = model.encode(embeddings).coarse[:, 0], model.project(embeddings)[:, 0]
    turned, plain = (each.localise(first_half, 0, coarse)[coarse == 0] for each in (model, upright))

    assert _off_diagonal(turned) < 0.3 * _off_diagonal(plain)


def _off_diagonal(local: Floats) -> float:
    correlation = np.corrcoef(local.reshape(len(local), -1), rowvar=False)
    return float(np.abs(correlation - np.diag(np.diag(correlation))).mean())


def test_a_wide_search_with_ranking_is_exact(index: LopqIndex, embeddings: Floats) -> None:
    """All cells as candidates and all of them ranked by true distance: brute force."""
    query = embeddings[17] + 0.01
    found = index.search(query, limit=20, quota=len(index), exact=lambda ids: embeddings[ids], shortlist=len(index))
    expected = np.argsort(squared(embeddings, query[None]))[:20]

    assert found.ids.tolist() == expected.tolist()
    np.testing.assert_allclose(found.distances, squared(embeddings[expected], query[None]), rtol=1e-4)
    assert found.candidates == 4_000


def test_codes_find_most_neighbours_and_ranking_nearly_all(
    index: LopqIndex, model: LopqModel, embeddings: Floats
) -> None:
    """Eight bytes an item, a quarter of the items looked at."""
    queries = embeddings[:100] + np.random.default_rng(3).normal(size=(100, 24)).astype(np.float32) * 0.02
    exact = np.stack([np.argsort(squared(embeddings, query[None]))[:10] for query in queries])
    coded = np.stack([index.search(query, limit=10, quota=1_000).ids for query in queries])
    ranked = np.stack(
        [index.search(query, limit=10, quota=1_000, exact=lambda ids: embeddings[ids]).ids for query in queries]
    )

    assert index.code_bytes == 8 * 4_000
    assert index.nbytes == (8 + 8) * 4_000 + 8 * (4**2 + 1) + model.nbytes
    assert neighbour_recall(coded, exact) > 0.5
    assert neighbour_recall(ranked, exact) > 0.9


def test_a_small_quota_looks_at_few_cells(index: LopqIndex, embeddings: Floats) -> None:
    """Whole cells are taken until there are enough."""
    near, far = (index.search(embeddings[5], limit=10, quota=quota) for quota in (10, 3_000))

    assert near.visited_cells < far.visited_cells <= 16
    assert 10 <= near.candidates < far.candidates
    with pytest.raises(ValueError, match="cannot give limit=20"):
        index.search(embeddings[5], limit=20, quota=10)


def test_what_is_removed_is_not_found(index: LopqIndex, embeddings: Floats) -> None:
    """Others stay; removing twice finds nothing to remove."""
    assert index.search(embeddings[5], limit=1).ids.tolist() == [5]
    assert index.remove(np.array([5, 99_999])) == 1
    assert index.remove(np.array([5])) == 0

    assert len(index) == 3_999
    assert 5 not in index.search(embeddings[5], limit=50, quota=4_000).ids
    assert index.search(embeddings[6], limit=1).ids.tolist() == [6]


def test_adding_again_replaces(index: LopqIndex, embeddings: Floats) -> None:
    """An id is one item, whatever was under it before."""
    index.add(np.array([5]), embeddings[6:7])

    assert len(index) == 4_000
    assert sorted(index.search(embeddings[6], limit=2).ids.tolist()) == [5, 6]
    with pytest.raises(ValueError, match="each id must come once"):
        index.add(np.array([1, 1]), embeddings[:2])


def test_an_empty_index_finds_nothing(model: LopqModel, embeddings: Floats) -> None:
    """Nor does it fail when it is asked to rank nothing."""
    found = LopqIndex(model).search(embeddings[0], limit=5, exact=lambda ids: embeddings[ids])

    assert found.ids.tolist() == []
    assert found.visited_cells == 0


def test_empty_and_small_clusters_are_no_numbers_problem() -> None:
    """Copies of three points leave clusters empty; nothing is divided by their zero members."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(3, 8)).astype(np.float32)[rng.integers(0, 3, 60)]
    model = fit(points, LopqConfig(dimension=4, clusters=8, parts=2, centroids=4))

    assert all(np.isfinite(array).all() for array in (model.centroids, model.residual_means, model.rotations))
    np.testing.assert_allclose(model.reconstruct(model.encode(points)), model.project(points), atol=1e-3)


def test_fitting_repeats_itself(model: LopqModel, embeddings: Floats) -> None:
    """The same sample and seed give the same codes."""
    again = fit(embeddings[:3_000], CONFIG)

    np.testing.assert_array_equal(again.encode(embeddings).fine, model.encode(embeddings).fine)


def test_a_model_survives_its_file(model: LopqModel, embeddings: Floats, tmp_path: Path) -> None:
    """Written and read, it codes as before."""
    model.save(tmp_path / "model.npz")
    loaded = LopqModel.load(tmp_path / "model.npz")

    np.testing.assert_array_equal(loaded.encode(embeddings).coarse, model.encode(embeddings).coarse)
    np.testing.assert_array_equal(loaded.encode(embeddings).fine, model.encode(embeddings).fine)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"parts": 3}, "parts=3"),
        ({"parts": 12}, "parts=12"),
        ({"centroids": 257}, "a byte"),
        ({"clusters": 0}, "65,536"),
    ],
)
def test_sizes_must_fit(options: dict[str, int], problem: str) -> None:
    """Each refusal names the number."""
    with pytest.raises(ValueError, match=problem):
        replace(CONFIG, **options)


def test_too_small_a_sample_is_refused(embeddings: Floats) -> None:
    """Rather than learning clusters of nothing."""
    with pytest.raises(ValueError, match="a sample of 20 embeddings"):
        fit(embeddings[:20], CONFIG)


def test_codes_have_a_length(model: LopqModel, embeddings: Floats) -> None:
    """One code an embedding, none for none."""
    assert len(model.encode(embeddings[:7])) == 7
    assert len(Codes(np.zeros((0, 2), np.uint16), np.zeros((0, 8), np.uint8))) == 0
