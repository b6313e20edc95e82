"""What the two stages of the general embedding bring to the training loop."""

from abc import abstractmethod
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from training.general.augmentation import augment
from training.general.config import LossConfig, StageConfig
from training.general.network import ContentNetwork, EmbeddingNetwork
from training.general.objective import Objective
from training.general.validation import leave_one_out, summary
from training.general.views import Views
from training.task import Task

# Pixels uint8 (B, S, S, 3), the teacher's embeddings float32 (B, T), exact and coarse class ids (B,).
Batch = tuple[Tensor, Tensor, Tensor, Tensor]
# Whole pictures uint8 (N, S, S, 3), and a label of each.
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
    def embed(self, network: nn.Module, picture: Tensor) -> Tensor:
        """Unit embeddings (B, D) of pictures float32 (B, 3, S, S) with values 0..255."""

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        """An epoch: each picture once, as one of its views picked at random."""
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
        picture = augment(pixels, self.stage.train_px, self.stage.zoom).to(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16):
            embedding = self.embed(self.network, picture)
        loss: Tensor = self.objective(embedding, teacher, fine, coarse)
        return loss

    def figures(self, network: nn.Module) -> dict[str, float]:
        """How well whole validation photos find one another."""
        pixels, labels = self.validation
        pictures = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().to(self.device)
        embeddings = torch.cat([self.embed(network, part).cpu() for part in torch.split(pictures, 64)])
        return summary(leave_one_out(embeddings.numpy(), labels))


class ContentTask(ViewsTask):
    """The first stage: content alone, so that the network learns to see before colours make the work easy."""

    def embed(self, network: nn.Module, picture: Tensor) -> Tensor:
        """What the pictures show."""
        content: Tensor = network(picture)
        return content.float()


class JointTask(ContentTask):
    """The second stage: content and colours, as they are served."""

    def embed(self, network: nn.Module, picture: Tensor) -> Tensor:
        """Both parts; the colours are counted in full precision: bfloat16 has 8 bits, too few for shares of 1 %."""
        assert isinstance(network, EmbeddingNetwork), "the second stage trains the network whole"
        with torch.autocast(self.device.type, enabled=False):
            colour = network.colour(picture)
        return network.join(super().embed(network.content, picture), colour)
