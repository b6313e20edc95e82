"""Owns TASK-former's training: a sentence and a sketch of a photo together must find it among the batch's."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from training.datasets.coco_karpathy import CaptionedPhotos
from training.loop import Task
from training.losses.taskformer import taskformer_loss
from training.models.served import CLIP_SCALING, ImageEncoder, Inputs, Outputs, TextEncoder, torch_outputs
from training.models.taskformer import TaskFormer
from training.sketch_augmentation import WHITE, drop_queries, loosened, unfinished
from training.text_sketch.config import TextSketchConfig
from training.text_sketch.modes import Embeddings, figures_of
from training.text_sketch.pairs import Pairs, Tokens, Words, padded

Forward: TypeAlias = Callable[[Inputs], Outputs]


@dataclass(frozen=True, slots=True)
class Batch:
    """Photos and sketches uint8 (N, S, S, 3), a caption of each (N, T), and its categories (N, C)."""

    photos: Tensor
    sketches: Tensor
    tokens: Tensor
    labels: Tensor


class TextSketchTask(Task):
    """Every epoch shows each photo once, with its sketch and one of its captions."""

    def __init__(
        self, config: TextSketchConfig, photos: CaptionedPhotos, run: Path, *, words: Words | None = None
    ) -> None:
        """Prepare the training and validation splits, with the tokenizer and the decoded images in `run`.

        `words` are those of an earlier stage, whose weights know no other ids.
        """
        super().__init__()
        run.mkdir(parents=True, exist_ok=True)
        captions = (caption for photo in photos.of("train") for caption in photo.captions)
        self._config = config
        self._words = words or Words.of(config.tokens, captions, max_tokens=config.network.max_tokens)
        self._words.write(run)
        self._train, self._val = (
            Pairs.read(photos.of(split), self._words, config.preprocessing, run / split) for split in ("train", "val")
        )
        self.steps_per_epoch = len(self._train) // config.optimiser.batch
        if not self.steps_per_epoch:
            raise ValueError(f"{len(self._train)} training photos do not fill a batch of {config.optimiser.batch}.")
        network = TaskFormer(replace(config.network, vocabulary_size=self._words.vocabulary_size))
        self.network: TaskFormer = network.to(memory_format=torch.channels_last)

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        order, size = rng.permutation(len(self._train)), self._config.optimiser.batch
        for start in range(0, self.steps_per_epoch * size, size):
            # Sorted, because images of neighbouring rows lie together on the disk.
            rows = np.sort(order[start : start + size])
            captions = [self._train.tokens[row][rng.integers(len(self._train.tokens[row]))] for row in rows]
            yield Batch(
                photos=torch.from_numpy(self._train.photos[rows]),
                sketches=torch.from_numpy(self._train.sketches[rows]),
                tokens=torch.from_numpy(padded(captions)),
                labels=torch.from_numpy(self._train.labels[rows]),
            )

    def loss(self, batch: Batch) -> Tensor:
        augmentation, rng = self._config.augmentation, torch.default_generator
        photos, sketches = (_planes(images.to(self.device)) for images in (batch.photos, batch.sketches))
        tokens = batch.tokens.to(self.device)
        if augmentation.mirrors:
            is_mirrored = (torch.rand(len(photos), generator=rng) < 0.5).to(self.device)
            for images in (photos, sketches):
                images[is_mirrored] = images[is_mirrored].flip(3)
            tokens = torch.where(is_mirrored[:, None], self._words.mirrored(tokens), tokens)
        photos = loosened(photos, augmentation.photo, rng)
        sketches = loosened(unfinished(sketches, rng, least=augmentation.least_strokes), augmentation.sketch, rng)
        sketches, tokens = drop_queries(
            sketches,
            tokens,
            blank=torch.full_like(sketches[0], WHITE),
            empty=self._words.empty(tokens.shape[1]).to(self.device),
            rng=rng,
            share=augmentation.query_dropout,
        )
        labels = batch.labels.to(self.device)
        return taskformer_loss(
            self.network, _scaled(photos), _scaled(sketches), tokens, labels, weights=self._config.loss
        ).total

    def figures(self, network: nn.Module) -> dict[str, float]:
        assert isinstance(network, TaskFormer)
        figures = figures_of(embedded(network, self._val, self._words))
        return {name: figures[name] for name in ("text_r1", "sketch_r1", "both_r1", "both_r10")}


def photo_encoder(network: TaskFormer) -> ImageEncoder:
    """The tower of photos as it is served; where towers are shared, that of sketches too."""
    return ImageEncoder(network, network.embed_image, CLIP_SCALING)


def sketch_encoder(network: TaskFormer) -> ImageEncoder:
    """The tower of sketches."""
    return ImageEncoder(network, network.embed_sketch, CLIP_SCALING)


def text_encoder(network: TaskFormer) -> TextEncoder:
    """The tower of captions as it is served."""
    return TextEncoder(network, network.embed_text)


def text_inputs(pairs: Pairs) -> dict[str, Tokens]:
    """The first caption of each row, by the names of the served graph's inputs."""
    first = [captions[0] for captions in pairs.tokens]
    return {"tokens": padded(first), "lengths": np.asarray([len(caption) for caption in first], np.int64)}


def embedded(network: TaskFormer, pairs: Pairs, words: Words) -> Embeddings:
    """What a network, on any device and in its evaluation mode, says of a split."""
    device = network.logit_scale.device
    photo, sketch, text = (
        partial(torch_outputs, make(network).to(device)) for make in (photo_encoder, sketch_encoder, text_encoder)
    )
    return embedded_by(photo, sketch, text, pairs, words)


def embedded_by(photo: Forward, sketch: Forward, text: Forward, pairs: Pairs, words: Words) -> Embeddings:
    """What three towers say of a split."""
    no_strokes, no_words = np.full_like(pairs.sketches[:1], int(WHITE)), words.empty(2).numpy()[None]
    return Embeddings(
        photos=photo({"image": pairs.photos})[0],
        sketches=sketch({"image": pairs.sketches})[0],
        texts=text(text_inputs(pairs))[0],
        photo_of_text=np.arange(len(pairs)),
        no_sketch=sketch({"image": no_strokes})[0][0],
        no_text=text({"tokens": no_words, "lengths": np.asarray([2])})[0][0],
    )


def _planes(images: Tensor) -> Tensor:
    return images.permute(0, 3, 1, 2).contiguous().float()


def _scaled(images: Tensor) -> Tensor:
    mean, std = (
        255 * torch.tensor(values, device=images.device)[:, None, None]
        for values in (CLIP_SCALING.mean, CLIP_SCALING.std)
    )
    # Convolutions on a CPU are a third faster with the channels last.
    return images.sub(mean).div_(std).contiguous(memory_format=torch.channels_last)
