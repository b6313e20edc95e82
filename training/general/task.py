"""What the two stages of the general embedding bring to the training loop."""

from abc import abstractmethod
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from training.general.augmentation import augment
from training.general.config import LossConfig, StageConfig
from training.general.network import ContentNetwork, EmbeddingNetwork
from training.general.validation import leave_one_out, summary
from training.general.views import Views
from training.loop import Task

# Pixels uint8 (B, S, S, 3), the teacher's embeddings float32 (B, T), exact and coarse class ids (B,).
Batch = tuple[Tensor, Tensor, Tensor, Tensor]
# Whole images uint8 (N, S, S, 3), and a label of each.
Validation = tuple[NDArray[np.uint8], ArrayLike]


class ViewsTask(Task):
    """Learns from the cached views what `Objective` asks for, and is measured on whole photos."""

    def __init__(
        self,
        network: ContentNetwork | EmbeddingNetwork,
        views: Views,
        validation: Validation,
        *,
        stage: StageConfig,
        loss: LossConfig,
    ) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.objective = Objective(loss, network.dimension, views)
        self.steps_per_epoch = len(views.fine) // stage.optimiser.batch
        self.views, self.validation, self.stage = views, validation, stage

    @abstractmethod
    def embed(self, network: nn.Module, image: Tensor) -> Tensor:
        """Unit embeddings (B, D) of images float32 (B, 3, S, S) with values 0..255."""

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        """An epoch: each image once, as one of its views picked at random."""
        views, batch = self.views, self.stage.optimiser.batch
        order = rng.permutation(len(views.fine))[: self.steps_per_epoch * batch]
        for rows in order.reshape(-1, batch):
            columns = rng.integers(0, views.pixels.shape[1], batch)
            yield (
                torch.from_numpy(views.pixels[rows, columns]),
                torch.from_numpy(views.teacher[rows, columns].astype(np.float32)),
                torch.from_numpy(views.fine[rows]),
                torch.from_numpy(views.coarse[rows]),
            )

    def loss(self, batch: Batch) -> Tensor:
        """The objective's of augmented views."""
        pixels, teacher, fine, coarse = (part.to(self.device) for part in batch)
        image = augment(pixels, self.stage.train_px, self.stage.zoom).to(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16):
            embedding = self.embed(self.network, image)
        loss: Tensor = self.objective(embedding, teacher, fine, coarse)
        return loss

    def figures(self, network: nn.Module) -> dict[str, float]:
        """How well whole validation photos find one another."""
        pixels, labels = self.validation
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().to(self.device)
        embeddings = torch.cat([self.embed(network, part).cpu() for part in torch.split(images, 64)])
        return summary(leave_one_out(embeddings.numpy(), labels))


class ContentTask(ViewsTask):
    """The first stage: content alone, so that the network learns to see before colours make the work easy."""

    def embed(self, network: nn.Module, image: Tensor) -> Tensor:
        """What the images show."""
        content: Tensor = network(image)
        return content.float()


class JointTask(ContentTask):
    """The second stage: content and colours, as they are served."""

    def embed(self, network: nn.Module, image: Tensor) -> Tensor:
        """Both parts; the colours are counted in full precision: bfloat16 has 8 bits, too few for shares of 1 %."""
        assert isinstance(network, EmbeddingNetwork), "the second stage trains the network whole"
        with torch.autocast(self.device.type, enabled=False):
            colour = network.colour(image)
        return network.join(super().embed(network.content, image), colour)


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
