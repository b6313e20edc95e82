"""Owns the training of pedestrian search: pairs of picture and caption, matched and classified."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.datasets.pedestrians import Pedestrian, Pedestrians
from training.decoded import cached
from training.losses.cmpm import CmpcLoss, cmpm_loss
from training.models.dcmpl import Dcmpl
from training.models.served import DCMPL_SCALING, PictureEncoder, TextEncoder
from training.onnx_graph import torch_outputs
from training.pedestrians.augmentation import augmented
from training.pedestrians.captions import TOKENIZER, Tokens, tokenised, write_tokenizer
from training.pedestrians.config import PedestriansConfig
from training.pedestrians.held_out import HeldOut
from training.task import Task


@dataclass(frozen=True, slots=True)
class Pairs:
    """A batch: picture i, uint8 (B, H, W, 3), shows what caption i says; `identity` (B,) counts from 0."""

    pixels: Tensor
    tokens: Tensor
    lengths: Tensor
    identity: Tensor


class PedestriansTask(Task):
    """DCMPL with CMPM and CMPC; an epoch shows each picture once, with one of its captions."""

    def __init__(self, config: PedestriansConfig, people: Pedestrians, run: Path) -> None:
        """Prepare the training split, with the tokenizer and the decoded pictures in `run`."""
        super().__init__()
        self.config = config
        pictures, preprocessing, tokenizer = people.of("train"), config.data.preprocessing, run / TOKENIZER
        run.mkdir(parents=True, exist_ok=True)
        captions = [caption for picture in pictures for caption in picture.captions]
        vocabulary_size = write_tokenizer(captions, tokenizer, min_count=config.data.min_count)

        self._pixels = cached([picture.path for picture in pictures], preprocessing, run / "pictures")
        self._tokens = tokenised(captions, tokenizer)
        self._first_caption, self._caption_count = _captions_of(pictures)
        classes, self._identity = np.unique([picture.label for picture in pictures], return_inverse=True)
        self._validation = HeldOut.of(people, "val", preprocessing=preprocessing, tokenizer=tokenizer)

        self.steps_per_epoch = len(pictures) // config.optimiser.batch
        if not self.steps_per_epoch:
            raise ValueError(f"{len(pictures)} training pictures do not fill a batch of {config.optimiser.batch}.")
        network = Dcmpl(replace(config.network, vocabulary_size=vocabulary_size))
        self.network = network.to(memory_format=torch.channels_last)
        self.classification = CmpcLoss(config.network.dimension, len(classes))

    def batches(self, rng: np.random.Generator) -> Iterator[Pairs]:
        """Pictures in a new order; what does not fill the last batch waits for another epoch."""
        order, batch = rng.permutation(len(self._pixels)), self.config.optimiser.batch
        for start in range(0, self.steps_per_epoch * batch, batch):
            rows = order[start : start + batch]
            captions = self._first_caption[rows] + rng.integers(0, self._caption_count[rows])
            tokens = self._tokens.rows(captions)
            yield Pairs(
                pixels=torch.from_numpy(self._pixels[rows]),
                tokens=torch.from_numpy(tokens.ids),
                lengths=torch.from_numpy(tokens.lengths),
                identity=torch.from_numpy(self._identity[rows]),
            )

    def loss(self, batch: Pairs) -> Tensor:
        """CMPM and CMPC of raw embeddings."""
        device, weights = self.device, self.config.loss
        picture = augmented(batch.pixels.to(device), self.config.augmentation)
        scaled = (picture / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        images, texts = self.network(scaled, batch.tokens.to(device), batch.lengths.to(device))
        identity = batch.identity.to(device)
        matching = cmpm_loss(images, texts, identity)
        classification: Tensor = self.classification(images, texts, identity)
        return weights.matching * matching + weights.classification * classification

    def figures(self, network: nn.Module) -> dict[str, float]:
        """R@1, R@10 and mAP of the validation captions."""
        assert isinstance(network, Dcmpl)
        figures = self._validation.figures(*embedded(network, self._validation))
        return {name: figures[name] for name in ("r1", "r10", "map")}


def embedded(network: Dcmpl, held_out: HeldOut) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Unit embeddings of a split's pictures and captions, by the torch network as it will be served."""
    (pictures,) = torch_outputs(picture_encoder(network), {"image": held_out.pixels})
    (captions,) = torch_outputs(text_encoder(network), text_inputs(held_out.tokens))
    return pictures, captions


def picture_encoder(network: Dcmpl) -> PictureEncoder:
    """The image branch as it is served."""
    return PictureEncoder(network, network.embed_image, DCMPL_SCALING)


def text_encoder(network: Dcmpl) -> TextEncoder:
    """The text branch as it is served."""
    return TextEncoder(network, network.embed_text)


def text_inputs(tokens: Tokens) -> dict[str, NDArray[np.int64]]:
    """Captions by the names of the served graph's inputs."""
    return {"tokens": tokens.ids, "lengths": tokens.lengths}


def _captions_of(pictures: tuple[Pedestrian, ...]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where each picture's captions begin in the list of all, and how many they are."""
    counts = np.asarray([len(picture.captions) for picture in pictures], np.intp)
    return np.cumsum(counts) - counts, counts
