"""Owns the embedding of many inputs by a bundle in this process, by the code that serves it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from encoders.bundle import Bundle
from encoders.serving.session import EmbeddingSession, ModelInput

BATCH = 16


def embed(bundle: Bundle, inputs: Sequence[ModelInput]) -> NDArray[np.float32]:
    """Embed images that are already the network's input, or tokens: unit embeddings (N, D)."""
    session = EmbeddingSession(bundle)
    embeddings = []
    for start in range(0, len(inputs), BATCH):
        for answer in session.run(inputs[start : start + BATCH]).results:
            if isinstance(answer, Exception):
                raise answer
            embeddings.append(answer)
    return np.stack(embeddings)
