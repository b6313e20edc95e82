"""Owns the text tower: a sentence has a meaning, and the colours that it names, but no looks."""

from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from training.joint_space.colours import ColourWords
from training.joint_space.config import JointSpaceConfig
from training.joint_space.labels import LabelEmbeddings

# The labels are embedded as "a photo of a …": words alone would lie apart from all of them.
PREFIX = "a photo of"


class SentenceInputs(nn.Module):
    """`tokens` int64 (N, T) and `lengths` int64 (N,) in; behind the first token PREFIX is put in.

    Out: tokens, attention mask and token types, as BERT reads them.
    """

    def __init__(self, tokenizer: Path) -> None:
        super().__init__()
        self.prefix: Tensor
        self.register_buffer("prefix", torch.tensor([prefix_tokens(tokenizer)]))

    def forward(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        prefix = self.prefix.expand(tokens.shape[0], -1)
        longer = torch.cat([tokens[:, :1], prefix, tokens[:, 1:]], dim=1)
        mask = _mask(longer, lengths + self.prefix.shape[1])
        return longer * mask, mask, torch.zeros_like(longer)


class SentenceBlocks(nn.Module):
    """Hidden states (N, T, 384) and attention mask (N, T), `tokens` and `lengths` in; `embedding` (N, D) out.

    It has unit length, and its looks are zero.
    """

    def __init__(self, config: JointSpaceConfig, labels: LabelEmbeddings, colours: ColourWords) -> None:
        super().__init__()
        self._looks = config.looks_dimension
        # Images have little of colours and much of meaning; the sentence makes up for it.
        self._coloured = config.colours.in_words * config.meaning.share / config.colours.share
        self.colours = colours
        self.mean: Tensor
        self.basis: Tensor
        self.register_buffer("mean", torch.from_numpy(labels.mean.copy()))
        self.register_buffer("basis", torch.from_numpy(labels.basis.copy()))

    def forward(self, hidden: Tensor, attention: Tensor, tokens: Tensor, lengths: Tensor) -> Tensor:
        is_read = attention[..., None].float()
        sentence = F.normalize((hidden * is_read).sum(dim=1) / is_read.sum(dim=1), dim=1)
        meaning = F.normalize((sentence - self.mean) @ self.basis, dim=1)
        colours = self._coloured * self.colours(tokens * _mask(tokens, lengths), lengths)
        return F.pad(F.normalize(torch.cat([meaning, colours], dim=1), dim=1), (self._looks, 0))


def prefix_tokens(tokenizer: Path) -> list[int]:
    """The tokens of PREFIX, without the marks at both ends."""
    reader = Tokenizer.from_file(str(tokenizer))
    reader.no_padding()
    tokens: list[int] = reader.encode(PREFIX, add_special_tokens=False).ids
    return tokens


def _mask(rows: Tensor, lengths: Tensor) -> Tensor:
    """1 where a row of (N, T, …) belongs to its text, (N, T)."""
    return (torch.arange(rows.shape[1], device=rows.device) < lengths[:, None]).to(torch.int64)
