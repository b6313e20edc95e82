"""Owns exact maximum inner product search: every query beside the whole gallery, on a GPU where there is one."""

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Mips:
    """A gallery (G, D), which a GPU keeps while it is asked."""

    def __init__(self, gallery: Floats, *, on_gpu: bool | None = None) -> None:
        is_there = torch.cuda.is_available() if on_gpu is None else on_gpu
        self._gallery = gallery
        self._on_gpu = torch.tensor(gallery, device="cuda") if is_there else None

    def scores(self, queries: Floats) -> Floats:
        """The inner products (Q, G) of queries (Q, D), in float32."""
        if self._on_gpu is None:
            return queries @ self._gallery.T
        products: Floats = (torch.tensor(queries, device="cuda") @ self._on_gpu.T).cpu().numpy()
        return products
