"""What the general embedding must say: the exact class, the coarse class, and what the teacher sees."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.general.config import LossConfig
from training.general.views import Views


class Objective(nn.Module):
    """Cosine softmax over exact and over coarse classes; the teacher's embedding, and the likeness it sees in pairs."""

    def __init__(self, config: LossConfig, dimension: int, views: Views) -> None:
        super().__init__()
        self.config = config
        self.fine = nn.Parameter(torch.randn(int(views.fine.max()) + 1, dimension))
        self.coarse = nn.Parameter(torch.randn(int(views.coarse.max()) + 1, dimension))
        self.to_teacher = nn.Linear(dimension, views.teacher.shape[2])
        # Pooled activations are all positive; without their mean every pair would look alike.
        self.teacher_mean: Tensor
        self.register_buffer("teacher_mean", torch.from_numpy(views.teacher[:, 0].astype(np.float32).mean(axis=0)))

    def forward(self, embedding: Tensor, teacher: Tensor, fine: Tensor, coarse: Tensor) -> Tensor:
        """The loss of a batch: `embedding` unit (B, D), `teacher` raw (B, T), class ids (B,)."""
        teacher = F.normalize(teacher - self.teacher_mean, dim=1)
        guess = F.normalize(self.to_teacher(embedding), dim=1)
        apart = ~torch.eye(len(embedding), dtype=torch.bool, device=embedding.device)
        likeness = F.mse_loss((embedding @ embedding.T)[apart], (teacher @ teacher.T)[apart])
        return (
            self.config.fine * self._cosine_softmax(embedding, self.fine, fine)
            + self.config.coarse * self._cosine_softmax(embedding, self.coarse, coarse)
            + self.config.teacher * (1 - (guess * teacher).sum(dim=1)).mean()
            + self.config.likeness * likeness
        )

    def _cosine_softmax(self, embedding: Tensor, centres: Tensor, label: Tensor) -> Tensor:
        logits = self.config.scale * embedding @ F.normalize(centres, dim=1).T
        return F.cross_entropy(logits, label, label_smoothing=self.config.label_smoothing)
