"""Owns the training of pedestrian search: pairs of image and caption, matched and classified."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from training.datasets.pedestrians import Pedestrian, Pedestrians
from training.decoded import cached
from training.loop import Task
from training.losses.cmpm import CmpcLoss, cmpm_loss
from training.models.dcmpl import Dcmpl
from training.models.served import DCMPL_SCALING, ImageEncoder, TextEncoder, torch_outputs
from training.pedestrians.captions import TOKENIZER, Tokens, tokenised, write_tokenizer
from training.pedestrians.config import AugmentationConfig, PedestriansConfig
from training.pedestrians.held_out import HeldOut


@dataclass(frozen=True, slots=True)
class Pairs:
    """A batch: image i, uint8 (B, H, W, 3), shows what caption i says; `identity` (B,) counts from 0."""

    pixels: Tensor
    tokens: Tensor
    lengths: Tensor
    identity: Tensor


class PedestriansTask(Task):
    """DCMPL with CMPM and CMPC; an epoch shows each image once, with one of its captions."""

    def __init__(self, config: PedestriansConfig, people: Pedestrians, run: Path) -> None:
        """Prepare the training split, with the tokenizer and the decoded images in `run`."""
        super().__init__()
        self.config = config
        images, preprocessing, tokenizer = people.of("train"), config.data.preprocessing, run / TOKENIZER
        run.mkdir(parents=True, exist_ok=True)
        captions = [caption for image in images for caption in image.captions]
        vocabulary_size = write_tokenizer(captions, tokenizer, min_count=config.data.min_count)

        self._pixels = cached([image.path for image in images], preprocessing, run / "images")
        self._tokens = tokenised(captions, tokenizer)
        self._first_caption, self._caption_count = _captions_of(images)
        classes, self._identity = np.unique([image.label for image in images], return_inverse=True)
        self._validation = HeldOut.of(people, "val", preprocessing=preprocessing, tokenizer=tokenizer)

        self.steps_per_epoch = len(images) // config.optimiser.batch
        if not self.steps_per_epoch:
            raise ValueError(f"{len(images)} training images do not fill a batch of {config.optimiser.batch}.")
        network = Dcmpl(replace(config.network, vocabulary_size=vocabulary_size))
        self.network = network.to(memory_format=torch.channels_last)
        self.classification = CmpcLoss(config.network.dimension, len(classes))

    def batches(self, rng: np.random.Generator) -> Iterator[Pairs]:
        """Images in a new order; what does not fill the last batch waits for another epoch."""
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
        image = augmented(batch.pixels.to(device), self.config.augmentation)
        scaled = (image / 127.5 - 1).contiguous(memory_format=torch.channels_last)
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
    """Unit embeddings of a split's images and captions, by the torch network as it will be served."""
    (images,) = torch_outputs(image_encoder(network), {"image": held_out.pixels})
    (captions,) = torch_outputs(text_encoder(network), text_inputs(held_out.tokens))
    return images, captions


def image_encoder(network: Dcmpl) -> ImageEncoder:
    """The image branch as it is served."""
    return ImageEncoder(network, network.embed_image, DCMPL_SCALING)


def text_encoder(network: Dcmpl) -> TextEncoder:
    """The text branch as it is served."""
    return TextEncoder(network, network.embed_text)


def text_inputs(tokens: Tokens) -> dict[str, NDArray[np.int64]]:
    """Captions by the names of the served graph's inputs."""
    return {"tokens": tokens.ids, "lengths": tokens.lengths}


def _captions_of(images: tuple[Pedestrian, ...]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where each image's captions begin in the list of all, and how many they are."""
    counts = np.asarray([len(image.captions) for image in images], np.intp)
    return np.cumsum(counts) - counts, counts


def augmented(pixels: Tensor, config: AugmentationConfig) -> Tensor:
    """Mirror, move and light a batch of uint8 images (B, H, W, 3); returns float (B, 3, H, W) of 0..255."""
    batch = pixels.permute(0, 3, 1, 2).float()
    count = len(batch)
    # No caption may then say left or right; the published training mirrors too, and its captions seldom do.
    is_mirrored = torch.rand(count) < 0.5
    batch[is_mirrored] = batch[is_mirrored].flip(3)
    if config.shift_px:
        batch = _shifted(batch, config.shift_px)
    if config.light:
        gain = 1 + config.light * torch.randn(count, 1, 1, 1) + config.light / 3 * torch.randn(count, 3, 1, 1)
        batch = (batch * gain.to(batch.device)).clamp(0, 255)
    return batch


def _shifted(batch: Tensor, most_px: int) -> Tensor:
    """The whole batch moves alike, which is cheap; the next one moves otherwise."""
    height, width = batch.shape[2:]
    padded = F.pad(batch, (most_px,) * 4, mode="replicate")
    top, left = torch.randint(0, 2 * most_px + 1, (2,)).tolist()
    return padded[:, :, top : top + height, left : left + width]
