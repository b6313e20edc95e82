import numpy as np
import pytest
import torch

from training.losses.taskformer import asymmetric_loss


def test_the_loss_is_the_published_formula() -> None:
    """Gamma 4 for what is absent, 1 for what is there, a margin of .05."""
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(3, 5)) * 3, rng.integers(0, 2, (3, 5))
    p = 1 / (1 + np.exp(-logits))
    absent = np.minimum(1 - p + 0.05, 1)
    expected = -(labels * (1 - p) * np.log(p) + (1 - labels) * (1 - absent) ** 4 * np.log(absent)).sum() / 3

    assert asymmetric_loss(torch.tensor(logits), torch.tensor(labels)).item() == pytest.approx(expected)


def test_easy_absences_count_nothing() -> None:
    """A class that is absent and given less than .05 adds neither loss nor gradient."""
    logits = torch.tensor([[-4.0, -9.0]], requires_grad=True)
    loss = asymmetric_loss(logits, torch.zeros(1, 2))
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it so

    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_sure_mistakes_stay_finite() -> None:
    """Saturated logits of the wrong sign."""
    assert asymmetric_loss(torch.tensor([[-200.0, 200.0]]), torch.tensor([[1, 0]])).isfinite()
