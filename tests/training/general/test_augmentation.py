import numpy as np
import torch

from training.general.augmentation import augment, look


def test_a_view_stays_an_image() -> None:
    """Windows of the wanted size, in 0..255, each image of a batch in its own way, and the same from one seed."""
    rng = np.random.default_rng(0)
    pixels = torch.from_numpy(rng.integers(0, 256, (1, 36, 36, 3), dtype=np.uint8)).repeat(4, 1, 1, 1)
    torch.manual_seed(3)
    first = augment(pixels, 32, (0.8, 1.1))
    torch.manual_seed(3)
    again = augment(pixels, 32, (0.8, 1.1))

    assert tuple(first.shape) == (4, 3, 32, 32)
    assert first.min() >= 0
    assert first.max() <= 255
    assert torch.equal(first, again)
    assert not torch.allclose(first[0], first[1])


def test_a_window_shows_what_is_there() -> None:
    """Turned and resized a little, the upper half of an image stays up, and about half of them change sides."""
    torch.manual_seed(0)
    image = torch.zeros(64, 3, 36, 36)
    image[:, 0, :18] = 200.0
    image[:, 1, :, :18] = 200.0
    seen = look(image, 32, (0.8, 1.1))

    assert (seen[:, 0, 2:8].mean(dim=(1, 2)) > seen[:, 0, -8:-2].mean(dim=(1, 2)) + 100).all()
    is_mirrored = seen[:, 1, :, 2:8].mean(dim=(1, 2)) < seen[:, 1, :, -8:-2].mean(dim=(1, 2))
    assert 16 <= is_mirrored.sum() <= 48
