import torch
from torch.nn import functional

from training.affine_grid import affine_grid


def test_it_is_torchs_own_grid() -> None:
    """Whatever the view and the size."""
    views = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(1))

    expected = functional.affine_grid(views, [5, 3, 7, 12], align_corners=False)

    assert torch.allclose(affine_grid(views, (12, 7)), expected, atol=1e-6)
