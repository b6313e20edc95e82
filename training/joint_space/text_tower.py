"""Owns the text tower: a sentence has a meaning and no looks."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.joint_space.config import JointSpaceConfig
from training.joint_space.labels import LabelEmbeddings


class SentenceInputs(nn.Module):
    """`tokens` int64 (N, T) and `lengths` int64 (N,) in; tokens, attention mask and token types out, as BERT reads them."""

    def forward(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mask = _mask(tokens, lengths)
        return tokens * mask, mask, torch.zeros_like(tokens)


class SentenceMeaning(nn.Module):
    """Hidden states (N, T, 384) and `lengths` in, `embedding` (N, D) of unit length out, whose looks are zero."""

    def __init__(self, config: JointSpaceConfig, labels: LabelEmbeddings) -> None:
        super().__init__()
        self._looks = config.dimension - config.meaning.dimension
        self.mean: Tensor
        self.basis: Tensor
        self.register_buffer("mean", torch.from_numpy(labels.mean.copy()))
        self.register_buffer("basis", torch.from_numpy(labels.basis.copy()))

    def forward(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        mask = _mask(hidden, lengths)[..., None].float()
        sentence = F.normalize((hidden * mask).sum(dim=1) / mask.sum(dim=1), dim=1)
        meaning = F.normalize((sentence - self.mean) @ self.basis, dim=1)
        return F.pad(meaning, (self._looks, 0))


def _mask(rows: Tensor, lengths: Tensor) -> Tensor:
    """1 where a row of (N, T, …) belongs to its text, (N, T)."""
    return (torch.arange(rows.shape[1], device=rows.device) < lengths[:, None]).to(torch.int64)
