"""Owns the trained towers in the form in which they are served, and what they say of a split."""

import numpy as np

from training.models.served import CLIP_SCALING, PictureEncoder, TextEncoder
from training.models.taskformer import TaskFormer
from training.onnx_graph import torch_outputs
from training.sketch_augmentation import WHITE
from training.text_sketch.modes import Embeddings
from training.text_sketch.pairs import Pairs, Tokens, padded
from training.text_sketch.words import Words


def photo_encoder(network: TaskFormer) -> PictureEncoder:
    """The tower of photos as it is served; where towers are shared, that of sketches too."""
    return PictureEncoder(network, network.embed_image, CLIP_SCALING)


def sketch_encoder(network: TaskFormer) -> PictureEncoder:
    """The tower of sketches."""
    return PictureEncoder(network, network.embed_sketch, CLIP_SCALING)


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
    photo, sketch, text = (make(network).to(device) for make in (photo_encoder, sketch_encoder, text_encoder))
    no_strokes, no_words = np.full_like(pairs.sketches[:1], int(WHITE)), words.empty(2).numpy()[None]
    return Embeddings(
        photos=torch_outputs(photo, {"image": pairs.photos})[0],
        sketches=torch_outputs(sketch, {"image": pairs.sketches})[0],
        texts=torch_outputs(text, text_inputs(pairs))[0],
        photo_of_text=np.arange(len(pairs)),
        no_sketch=torch_outputs(sketch, {"image": no_strokes})[0][0],
        no_text=torch_outputs(text, {"tokens": no_words, "lengths": np.asarray([2])})[0][0],
    )
