import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from training.sketch_augmentation import Looseness, drop_queries, loosened, unfinished

STILL = Looseness(degrees=0, shear_degrees=0, translate=0, scale=(1, 1), crop=(1, 1))


def drawings(count: int) -> Tensor:
    image = Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(image).ellipse((12, 20, 40, 44), outline="black", width=6)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float().expand(count, -1, -1, -1)


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def middles(images: Tensor) -> Tensor:
    """Where the strokes of each lie, (N, 2) as x and y of 0..1."""
    ink = 255 - images[:, 0]
    across = (torch.arange(images.shape[3]) + 0.5) / images.shape[3]
    x, y = (ink.sum(dim=1) * across).sum(dim=1), (ink.sum(dim=2) * across).sum(dim=1)
    return torch.stack([x, y], dim=1) / ink.sum(dim=(1, 2))[:, None]


def test_views_differ_and_stay_on_white() -> None:
    """Each image turns and shifts another way; what comes into view from outside is paper."""
    first, second = loosened(drawings(2), Looseness(), rng())

    assert not torch.equal(first, second)
    assert float(first.min()) < 60
    assert 250 < float(first.max()) < 255.1
    blank = torch.full((4, 3, 32, 32), 255.0)
    assert torch.equal(loosened(blank, Looseness(), rng()), blank)


def test_no_looseness_changes_nothing() -> None:
    """A view without freedom is the image itself."""
    torch.testing.assert_close(loosened(drawings(1), STILL, rng()), drawings(1), atol=1e-2, rtol=0)


def test_a_shift_is_a_share_of_the_side() -> None:
    """Strokes move by at most the share asked for, both ways, and by nearly all of it now and then."""
    shifted = loosened(drawings(200), Looseness(0, 0, 0.1, (1, 1), (1, 1)), rng())
    moved = middles(shifted) - middles(drawings(1))

    assert 0.09 < float(moved.max()) < 0.102
    assert -0.102 < float(moved.min()) < -0.09


def test_an_unfinished_sketch_lacks_dark_pixels_only() -> None:
    """Between three fifths and all of the strokes stay, and nothing is drawn that was not there."""
    whole = drawings(20)
    part = unfinished(whole, rng())
    fractions = (part[:, 0] == 0).sum(dim=(1, 2)) / (whole[:, 0] == 0).sum(dim=(1, 2))

    assert (part[whole == 255] == 255).all()
    assert 0.55 < float(fractions.min()) < 0.75
    assert 0.85 < float(fractions.max()) <= 1


def test_a_tenth_of_the_queries_lacks_its_sketch_and_a_tenth_its_text() -> None:
    """Never both, for nothing could be asked with that."""
    sketch, tokens = torch.zeros(2000, 3, 1, 1), torch.full((2000, 4), 7)
    sketches, texts = drop_queries(
        sketch, tokens, blank=torch.ones(3, 1, 1), empty=torch.tensor([8, 9, 0, 0]), rng=rng()
    )
    is_blank, is_empty = sketches[:, 0, 0, 0] == 1, texts[:, 0] == 8

    assert 150 < int(is_blank.sum()) < 250
    assert 150 < int(is_empty.sum()) < 250
    assert not (is_blank & is_empty).any()
