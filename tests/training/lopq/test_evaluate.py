from pathlib import Path

from training.lopq.evaluate import lopq_recall


def test_the_figure_is_a_share_of_true_neighbours(tmp_path: Path) -> None:
    """Where the quota holds the whole collection, codes lose next to nothing before the ranking."""
    figures = lopq_recall(Path("models/general-2"), tmp_path / "nowhere", tmp_path, count=400, queries=10)

    assert figures.keys() == {"recall10_at_32_bytes"}
    assert 0.95 < figures["recall10_at_32_bytes"] <= 1
