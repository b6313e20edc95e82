"""Owns the embedding of sentences by all-MiniLM-L6-v2 (Reimers and Gurevych, 2019; Wang et al., 2020)."""

from collections.abc import Sequence

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from training.joint_space.weights import Weights

MAX_TOKENS = 64
BATCH = 64


class SentenceEncoder:
    """Sentences in, unit embeddings (N, 384) out: the mean over a sentence's tokens."""

    def __init__(self, weights: Weights) -> None:
        self._tokenizer = Tokenizer.from_file(str(weights.tokenizer))
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.enable_padding()
        self._session = onnxruntime.InferenceSession(weights.sentences, providers=["CPUExecutionProvider"])

    def embed(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        """Embed sentences, in order."""
        parts = [self._batch(sentences[start : start + BATCH]) for start in range(0, len(sentences), BATCH)]
        return np.concatenate(parts)

    def _batch(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        encoded = self._tokenizer.encode_batch(list(sentences))
        tokens = np.array([each.ids for each in encoded], np.int64)
        mask = np.array([each.attention_mask for each in encoded], np.int64)
        feeds = {"input_ids": tokens, "attention_mask": mask, "token_type_ids": np.zeros_like(tokens)}
        (hidden,) = self._session.run(["last_hidden_state"], feeds)
        return unit((hidden * mask[..., None]).sum(axis=1) / mask.sum(axis=1, keepdims=True))


def unit(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    """The rows with a length of 1; a row of zeros stays."""
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    units: NDArray[np.float32] = (rows / np.maximum(lengths, 1e-9)).astype(np.float32)
    return units
