import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.metrics import (
    duplicate_paths,
    evaluate,
    evaluate_scores,
    minor_classes,
    neighbour_recall,
    own_id,
    pair_figures,
    same_label,
    shared_label,
    withheld,
)


def scores_of(*rows: list[float]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.asarray(rows, np.float32)


def test_average_precision_is_the_mean_precision_at_the_hits() -> None:
    """Hits at ranks 1, 3 and 4 of four relevant items, the last at rank 6."""
    scores = scores_of([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    figures = evaluate_scores(scores, same_label(["a"], list("abaaba")), ks=(1, 2), cutoff=3)

    assert figures.ap[0] == pytest.approx((1 + 2 / 3 + 3 / 4 + 4 / 6) / 4)
    assert figures.ap_at_k[0] == pytest.approx((1 + 2 / 3) / 3)
    assert figures.ap_found_at_k[0] == pytest.approx((1 + 2 / 3) / 2)
    assert figures.precision_at_k[0] == pytest.approx(2 / 3)


def test_one_hit_at_rank_one_is_perfect_only_in_the_generous_figure() -> None:
    """The published normaliser forgets the relevant items that were not found."""
    scores = scores_of([0.9, 0.8, 0.7, 0.1, 0.1])
    figures = evaluate_scores(scores, same_label(["a"], list("abbaa")), cutoff=2)

    assert figures.ap_found_at_k[0] == 1
    assert figures.ap_at_k[0] == pytest.approx(1 / 2)


def test_nothing_found_is_zero() -> None:
    """No hit within the cut-off gives 0, not a division by zero."""
    figures = evaluate_scores(scores_of([0.9, 0.1]), same_label(["a"], list("ba")), cutoff=1)

    assert figures.ap_found_at_k[0] == figures.ap_at_k[0] == 0
    assert figures.ap[0] == pytest.approx(1 / 2)


def test_queries_with_nothing_to_find_are_counted_apart() -> None:
    """They neither help nor hurt a mean."""
    figures = evaluate_scores(scores_of([0.9, 0.1], [0.9, 0.1]), same_label(["a", "z"], list("ab")))

    assert figures.rows.tolist() == [0]
    assert figures.summary()["r1"] == 1
    assert figures.summary()["unanswerable"] == 1


def test_a_run_without_any_answerable_query_is_an_error() -> None:
    """A figure of nothing would look like a result."""
    with pytest.raises(ValueError, match="check the labels"):
        evaluate_scores(scores_of([0.5]), same_label(["a"], ["b"])).summary()


def test_masked_items_lose_to_negative_scores() -> None:
    """Multiplying a masked score by 0 would rank it above every negative cosine; -inf does not."""
    scores = scores_of([1.0, -0.2, -0.3])
    figures = evaluate_scores(scores, same_label(["a"], list("aab")), own_id([0], [0, 1, 2]))

    assert figures.hits_within[1].tolist() == [True]
    assert figures.ap[0] == 1
    assert scores[0, 0] == 1, "the caller's scores stay as they are"


def test_masked_items_are_not_missed_either() -> None:
    """A validation image of the right class is not a relevant item."""
    figures = evaluate_scores(scores_of([0.9, 0.1]), same_label(["a"], list("aa")), withheld([False, True]))

    assert figures.ap[0] == 1


def test_classes_with_few_training_images_are_masked() -> None:
    """A minor class has fewer than `at_least` images in training."""
    mask = minor_classes(["x", "y", "z"], ["x", "x", "y"], at_least=2)

    assert mask(np.arange(1)).tolist() == [False, True, True]


def test_a_path_counts_once() -> None:
    """With the copy left in, rank 2 would be a copy of rank 1."""
    scores = scores_of([0.9, 0.9, 0.5])
    relevance = same_label(["b"], list("aab"))

    assert evaluate_scores(scores, relevance).first_rank.tolist() == [3]
    assert evaluate_scores(scores, relevance, duplicate_paths(["1.jpg", "1.jpg", "2.jpg"])).first_rank.tolist() == [2]


def test_ranks_count_ties_for_or_against() -> None:
    """Optimistic counts strictly greater scores, pessimistic those equal as well."""
    figures = evaluate_scores(scores_of([0.9, 0.5, 0.5, 0.5, 0.1]), same_label(["t"], list("abtcd")))

    assert figures.first_rank.tolist() == [2]
    assert figures.first_rank_last.tolist() == [4]
    assert figures.summary()["mrr"] == pytest.approx(1 / 2)


def test_photos_are_relevant_when_they_share_an_object() -> None:
    """Each side has many labels."""
    queries = np.array([[True, True, False]])
    gallery = np.array([[False, False, True], [False, True, True]])

    assert shared_label(queries, gallery)(np.arange(1)).tolist() == [[False, True]]


def test_a_score_that_is_no_number_is_an_error() -> None:
    """NaN sorts somewhere; a figure from it would be noise."""
    with pytest.raises(ValueError, match="not a number"):
        evaluate_scores(scores_of([float("nan"), 1.0]), same_label(["a"], list("ab")))


@given(st.integers(0, 2**32 - 1))
def test_chunks_change_nothing(seed: int) -> None:
    """Figures of the whole equal those of the parts, and AP agrees with the plain definition."""
    rng = np.random.default_rng(seed)
    # Whole numbers, whose products are exact: others may tie in one order of adding and not in another.
    queries, gallery = (rng.integers(-9, 10, (count, 4)).astype(np.float32) for count in (7, 30))
    query_labels, gallery_labels = rng.integers(0, 4, 7), rng.integers(0, 4, 30)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.metrics.CHUNK_PAIRS", 60)
        parts = evaluate(queries, gallery, same_label(query_labels, gallery_labels))
    whole = evaluate(queries, gallery, same_label(query_labels, gallery_labels))

    assert parts.summary() == pytest.approx(whole.summary())
    for ap, row in zip(whole.ap, whole.rows, strict=True):
        ranked = gallery_labels[np.argsort(-(queries[row] @ gallery.T), kind="stable")] == query_labels[row]
        positions = np.flatnonzero(ranked) + 1
        assert ap == pytest.approx(np.mean(np.arange(1, len(positions) + 1) / positions))


def test_a_large_gallery_fits_in_memory() -> None:
    """200 queries over 100,000 items are 20 million pairs; they are never held at once."""
    rng = np.random.default_rng(0)
    queries, gallery = (rng.normal(size=(count, 8)).astype(np.float32) for count in (200, 100_000))
    tracemalloc.start()
    evaluate(queries, gallery, same_label(np.arange(200), np.arange(100_000)))
    peak_mib = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()

    assert peak_mib < 500


def test_auc_is_the_share_of_pairs_in_the_right_order() -> None:
    """Ties count half."""
    assert pair_figures([0.9, 0.8, 0.2, 0.1], [1, 1, 0, 0]).auc == 1
    assert pair_figures([0.5, 0.5], [1, 0]).auc == 0.5
    assert pair_figures([0.9, 0.4, 0.6, 0.1], [1, 1, 0, 0]).auc == 0.75


def test_eer_is_where_both_errors_meet() -> None:
    """One of two same pairs missed and one of two different ones mistaken: half."""
    assert pair_figures([0.9, 0.4, 0.6, 0.1], [1, 1, 0, 0]).eer == 0.5
    assert pair_figures([0.9, 0.8, 0.2, 0.1], [1, 1, 0, 0]).eer == 0
    assert pair_figures([0.9, 0.8, 0.2, 0.1], [1, 1, 0, 0]).threshold == 0.8


def test_pair_figures_need_both_kinds() -> None:
    """Without different pairs there is no false positive to measure."""
    with pytest.raises(ValueError, match="one same and one different"):
        pair_figures([0.5, 0.6], [1, 1])


def test_neighbour_recall_is_the_share_of_exact_neighbours_found() -> None:
    """Order does not matter; -1 stands for nothing."""
    assert neighbour_recall(np.array([[3, 1, -1]]), np.array([[1, 2, 3]])) == pytest.approx(2 / 3)
