import numpy as np

from training.general.validation import leave_one_out


def test_leave_one_out_never_finds_itself() -> None:
    """Each image looks for the others of its label; one alone with its label is not a query."""
    embeddings = np.asarray([[1, 0], [0.9, 0.4359], [0, 1]], np.float32)
    figures = leave_one_out(embeddings, ["a", "a", "b"])
    assert (figures.recall(1), figures.unanswerable) == (1.0, 1)
