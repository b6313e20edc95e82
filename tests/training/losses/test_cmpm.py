import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax, normalize, softmax

from training.losses.cmpm import CmpcLoss, cmpm_loss


@pytest.fixture
def batch() -> tuple[Tensor, Tensor, Tensor]:
    """Six pairs of three identities, one of them alone."""
    rng = torch.Generator().manual_seed(3)
    images, texts = torch.randn(6, 8, generator=rng), torch.randn(6, 8, generator=rng)
    return images, texts, torch.tensor([0, 0, 1, 1, 1, 2])


def test_perfect_matching_costs_nothing() -> None:
    """When each embedding matches only its partner, the prediction is the one-hot target."""
    axes = 200 * torch.eye(5)

    assert cmpm_loss(axes, axes, torch.arange(5)).item() == pytest.approx(0, abs=1e-5)


def test_cmpm_is_the_formula_of_the_paper(batch: tuple[Tensor, Tensor, Tensor]) -> None:
    """KL with the prediction first, both directions, in plain numpy."""
    images, texts, identity = (part.numpy().astype(np.float64) for part in batch)
    expected = 0.0
    for queries, answers in ((images, texts), (texts, images)):
        logits = queries @ (answers / np.linalg.norm(answers, axis=1, keepdims=True)).T
        matching = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        same = (identity[:, None] == identity).astype(float)
        target = same / same.sum(axis=1, keepdims=True)
        expected += (matching * np.log(matching / (target + 1e-8))).sum(axis=1).mean()

    assert cmpm_loss(*batch).item() == pytest.approx(expected, rel=1e-5)


def test_the_ports_targets_are_another_loss(batch: tuple[Tensor, Tensor, Tensor]) -> None:
    """The switch repeats the division of columns by the rows' L2 norms."""
    images, texts, identity = batch
    same = (identity[:, None] == identity).float()
    target = same / same.norm(dim=1)
    expected = sum(
        (softmax(logits, 1) * (log_softmax(logits, 1) - torch.log(target + 1e-8))).sum(1).mean()
        for logits in (images @ normalize(texts).T, texts @ normalize(images).T)
    )

    assert cmpm_loss(*batch, published_targets=True).item() == pytest.approx(float(expected), rel=1e-5)
    assert cmpm_loss(*batch).item() != pytest.approx(float(expected), rel=1e-2)


def test_without_repeated_identities_the_port_is_right(batch: tuple[Tensor, Tensor, Tensor]) -> None:
    """Every norm is then 1, so the bug shows only where a batch repeats a person."""
    images, texts, _ = batch

    torch.testing.assert_close(
        cmpm_loss(images, texts, torch.arange(6)), cmpm_loss(images, texts, torch.arange(6), published_targets=True)
    )


def test_cmpc_classifies_the_projection(batch: tuple[Tensor, Tensor, Tensor]) -> None:
    """Its logits are those of each embedding laid on its partner's direction, against columns of unit length."""
    images, texts, identity = batch
    loss = CmpcLoss(8, 3)
    columns = loss.weight / loss.weight.norm(dim=0)
    expected = torch.zeros(())
    for embedding, partner in ((images, texts), (texts, images)):
        shadow = torch.stack([(e @ p) * p / (p @ p) for e, p in zip(embedding, partner, strict=True)])
        expected = expected + cross_entropy(shadow @ columns, identity)

    torch.testing.assert_close(loss(*batch), expected)


def test_the_classifier_ignores_its_columns_length(batch: tuple[Tensor, Tensor, Tensor]) -> None:
    """Only directions matter."""
    loss = CmpcLoss(8, 3)
    before = loss(*batch)
    loss.weight.data *= torch.tensor([1.0, 5.0, 0.1])

    torch.testing.assert_close(loss(*batch), before)


def test_both_losses_train(batch: tuple[Tensor, Tensor, Tensor]) -> None:
    """A few steps bring matching pairs together."""
    torch.manual_seed(0)
    images, texts, identity = batch
    images, texts = images.clone().requires_grad_(), texts.clone().requires_grad_()
    classify = CmpcLoss(8, 3)
    optimiser = torch.optim.Adam([images, texts, *classify.parameters()], 0.1)
    losses = []
    for _ in range(40):
        loss = cmpm_loss(images, texts, identity) + classify(images, texts, identity)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())

    assert losses[-1] < losses[0] / 4
