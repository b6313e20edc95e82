import numpy as np
import pytest
import torch

from training.metrics import Mips


@pytest.mark.parametrize(
    "on_gpu",
    [False, pytest.param(True, marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here"))],
)
def test_every_query_meets_the_whole_gallery(on_gpu: bool) -> None:  # noqa: FBT001
    """Also where the gallery is mapped from a file and cannot be written to."""
    rng = np.random.default_rng(1)
    gallery, queries = (rng.standard_normal((count, 8)).astype(np.float32) for count in (30, 4))
    gallery.flags.writeable = False

    scores = Mips(gallery, on_gpu=on_gpu).scores(queries)

    assert scores.shape == (4, 30)
    assert scores.dtype == np.float32
    assert scores == pytest.approx(queries.astype(np.float64) @ gallery.T.astype(np.float64), abs=1e-5)
