import math

import numpy as np
import pytest
import torch

from training.losses.n_pair import n_pair_loss
from training.losses.taskformer import symmetric_contrastive_loss


def test_both_directions_count_half() -> None:
    """The formula in plain numpy."""
    rng = np.random.default_rng(0)
    queries, answers = rng.normal(size=(2, 4, 6))
    cosine = (
        (queries / np.linalg.norm(queries, axis=1, keepdims=True))
        @ (answers / np.linalg.norm(answers, axis=1, keepdims=True)).T
        / 0.07
    )
    rows = np.log(np.exp(cosine).sum(axis=1)) - cosine.diagonal()
    columns = np.log(np.exp(cosine).sum(axis=0)) - cosine.diagonal()

    loss = symmetric_contrastive_loss(
        torch.tensor(queries), torch.tensor(answers), torch.tensor(math.log(1 / 0.07), dtype=torch.float64)
    )
    assert loss.item() == pytest.approx((rows.mean() + columns.mean()) / 2)


def test_the_scale_is_at_most_100() -> None:
    """Beyond that training becomes unstable."""
    queries, answers = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(0))

    torch.testing.assert_close(
        symmetric_contrastive_loss(queries, answers, torch.tensor(9.0)),
        symmetric_contrastive_loss(queries, answers, torch.tensor(math.log(100))),
    )


def test_the_published_n_pair_loss_has_a_floor() -> None:
    """Perfect and opposite: cosine 1 beside four of -1 still costs .43265; nothing learnt costs log 5."""
    anchor = torch.eye(3)
    worst = -anchor[:, None].expand(3, 4, 3)

    assert n_pair_loss(anchor, anchor, worst, temperature=1).item() == pytest.approx(0.43265, abs=1e-5)
    assert n_pair_loss(anchor, anchor, -worst, temperature=1).item() == pytest.approx(math.log(5))


def test_a_temperature_removes_the_floor() -> None:
    """Divided by .07 the same scores cost nothing."""
    anchor = torch.eye(3)

    assert n_pair_loss(anchor, anchor, -anchor[:, None].expand(3, 4, 3)).item() < 1e-6
