import numpy as np
import torch
from PIL import Image, ImageDraw

from training.sketch_augmentation import drop_queries, unfinished, varied_view


def drawing() -> Image.Image:
    picture = Image.new("RGB", (100, 80), "white")
    ImageDraw.Draw(picture).ellipse((20, 20, 70, 60), outline="black", width=6)
    return picture


def test_views_differ_and_stay_on_white() -> None:
    """Each call turns and crops another way; what comes into view from outside is paper."""
    torch.manual_seed(1)
    vary = varied_view(32)
    first, second = np.asarray(vary(drawing())), np.asarray(vary(drawing()))

    assert first.shape == second.shape == (32, 32, 3)
    assert not np.array_equal(first, second)
    assert np.asarray(varied_view(32)(Image.new("RGB", (40, 40), "white"))).min() == 255


def test_without_affine_only_the_crop_varies() -> None:
    """The mild form keeps nine tenths of the picture and its straight lines."""
    torch.manual_seed(1)
    view = np.asarray(varied_view(32, is_affine=False)(drawing()))

    assert view.shape == (32, 32, 3)
    assert view.min() < 60


def test_an_unfinished_sketch_lacks_dark_pixels_only() -> None:
    """Between three fifths and all of the strokes stay, and nothing is drawn that was not there."""
    rng = np.random.default_rng(0)
    whole = np.asarray(drawing())
    shares = []
    for _ in range(20):
        part = np.asarray(unfinished(drawing(), rng))
        assert (part[whole == 255] == 255).all()
        shares.append((part == 0).sum() / (whole == 0).sum())

    assert 0.55 < min(shares) < 0.75
    assert 0.85 < max(shares) <= 1


def test_a_tenth_of_the_queries_lacks_its_sketch_and_a_tenth_its_text() -> None:
    """Never both, for nothing could be asked with that."""
    sketch, tokens = torch.zeros(2000, 3, 1, 1), torch.full((2000, 4), 7)
    rng = torch.Generator().manual_seed(0)
    sketches, texts = drop_queries(sketch, tokens, blank=torch.ones(3, 1, 1), empty=torch.tensor([8, 9, 0, 0]), rng=rng)
    is_blank, is_empty = sketches[:, 0, 0, 0] == 1, texts[:, 0] == 8

    assert 150 < int(is_blank.sum()) < 250
    assert 150 < int(is_empty.sum()) < 250
    assert not (is_blank & is_empty).any()
