import pytest
import torch

from training.losses.yolo import assign, generalised_iou, yolo_loss
from training.objects.network import DetectorNetwork


def small_network() -> DetectorNetwork:
    anchors = ((0.1, 0.1), (0.2, 0.1)), ((0.2, 0.3), (0.1, 0.3)), ((0.3, 0.3), (0.45, 0.4))
    return DetectorNetwork(size_px=64, widths=(4, 4, 8, 8, 8), neck=8, anchors=anchors, class_count=13)


def test_training_learns_one_scene() -> None:
    """On a single image the loss falls to a small part of what it was."""
    torch.manual_seed(0)
    network = small_network()
    image = 127.5 + 64 * torch.randn(1, 3, 64, 64)
    truths = [torch.tensor([[2.0, 0.1, 0.2, 0.4, 0.5], [5.0, 0.5, 0.5, 0.95, 0.9]])]
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    losses = []
    for _ in range(60):
        loss = yolo_loss(network, network.predict(image), truths)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it so
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


def test_every_object_has_an_answering_guess() -> None:
    """Each object, however odd its shape, is answered for by the cell under its centre."""
    network = small_network()
    truth = torch.tensor([[0.0, 0.0, 0.0, 0.02, 0.9], [3.0, 0.3, 0.3, 0.5, 0.5], [4.0, 0.9, 0.9, 1.0, 1.0]])
    empty = torch.zeros(0, 5)

    matched = assign(network, [empty, truth])

    assert set(matched.label.tolist()) == {0, 3, 4}
    assert (matched.image == 1).all()
    boxes = network.eval().predict(torch.zeros(2, 3, 64, 64)).boxes
    centres = (boxes[1, matched.guess, :2] + boxes[1, matched.guess, 2:]) / 2
    expected = (matched.box[:, :2] + matched.box[:, 2:]) / 2
    assert ((centres - expected).abs() <= 1 / 2).all()


def test_a_batch_without_objects_has_a_loss() -> None:
    """Images of nothing teach that there is nothing."""
    network = small_network()
    loss = yolo_loss(network, network.predict(torch.zeros(2, 3, 64, 64)), [torch.zeros(0, 5)] * 2)
    assert torch.isfinite(loss)


def test_generalised_iou() -> None:
    """Equal boxes have 1; boxes apart have less than 0, and less the farther they are."""
    box = torch.tensor([[0.0, 0.0, 0.2, 0.2]] * 3)
    others = torch.tensor([[0.0, 0.0, 0.2, 0.2], [0.3, 0.0, 0.5, 0.2], [0.8, 0.0, 1.0, 0.2]])
    equal, near, far = generalised_iou(box, others).tolist()
    assert equal == pytest.approx(1)
    assert 0 > near > far > -1
