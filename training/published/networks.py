"""The published networks by name: each reads its checkpoint into the parts that are served."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from encoders.bundle import Preprocessing
from training.checkpoints.compcars import load_compcars
from training.checkpoints.dcmpl import load_dcmpl
from training.checkpoints.taskformer import load_taskformer
from training.checkpoints.tensors import CheckpointError
from training.models.compcars import Pooling
from training.models.dcmpl import Reading
from training.models.served import CLIP_SCALING, COMPCARS_SCALING, DCMPL_SCALING, ImageEncoder, TextEncoder
from training.published.part import Part
from training.tokens.captions import MAX_TOKENS, Vocabulary
from training.tokens.clip import CLEANING, clip_tokenizer_json, published_merges

SIDE_PX = 224
CLIP_VOCABULARY = 49_408

Reader = Callable[[Path, Path | None], tuple[Part, ...]]
"""Takes the checkpoint and the file of words, where there is one."""


def read_dcmpl(checkpoint: Path, words: Path | None, *, reading: Reading = "two_forward") -> tuple[Part, ...]:
    """Read a `.pth.tar` of pedestrians and the `word_to_index.pkl` that it was trained with."""
    if words is None:
        raise CheckpointError("Pedestrian checkpoints count words: give their word_to_index.pkl with --words FILE.")
    network = load_dcmpl(checkpoint, reading=reading)
    try:
        vocabulary = Vocabulary.published(words)
    except OSError as error:
        raise CheckpointError(f"{words} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    if len(vocabulary) > network.config.vocabulary_size:
        raise CheckpointError(
            f"{words} needs {len(vocabulary)} words, but {checkpoint} has {network.config.vocabulary_size}: "
            "use the words that it was trained with."
        )
    photos = ImageEncoder(network, network.embed_image, DCMPL_SCALING)
    return (
        Part(photos, ("image",), preprocessing=Preprocessing((SIDE_PX, SIDE_PX))),
        Part.of_texts(
            TextEncoder(network, network.embed_text),
            vocabulary.tokenizer_json(),
            MAX_TOKENS,
            vocabulary.text_cleaning,
        ),
    )


def read_taskformer(checkpoint: Path, words: Path | None, *, has_quick_gelu: bool = True) -> tuple[Part, ...]:
    """Read `tsbir_model_final.pt` or CLIP's towers; their words are CLIP's own."""
    _refuse_words(words)
    network = load_taskformer(checkpoint, has_quick_gelu=has_quick_gelu)
    config = network.config
    if config.vocabulary_size != CLIP_VOCABULARY:
        raise CheckpointError(
            f"{checkpoint} knows {config.vocabulary_size} tokens; CLIP's words are {CLIP_VOCABULARY}."
        )
    preprocessing = Preprocessing((config.image_px,) * 2, resize="shortest_crop", interpolation="bicubic")
    texts = Part.of_texts(
        TextEncoder(network, network.embed_text),
        clip_tokenizer_json(published_merges(), max_tokens=config.max_tokens),
        config.max_tokens,
        CLEANING,
    )
    photos = ImageEncoder(network, network.embed_image, CLIP_SCALING)
    if config.is_sketch_tower_shared:
        return Part(photos, ("image", "sketch"), preprocessing=preprocessing), texts
    sketches = ImageEncoder(network, network.embed_sketch, CLIP_SCALING)
    return (
        Part(photos, ("image",), preprocessing=preprocessing),
        Part(sketches, ("sketch",), "-sketch", preprocessing),
        texts,
    )


def read_compcars(
    checkpoint: Path, words: Path | None, *, pooling: Pooling = "power", is_two_scale: bool = False
) -> tuple[Part, ...]:
    """Read a `model.ep<N>` of cars; its bands are filled as published."""
    _refuse_words(words)
    network = load_compcars(checkpoint, pooling=pooling, is_two_scale=is_two_scale)
    preprocessing = Preprocessing((SIDE_PX, SIDE_PX), resize="letterbox", fill="blur")
    return (Part(ImageEncoder(network, network, COMPCARS_SCALING), ("image",), preprocessing=preprocessing),)


def _refuse_words(words: Path | None) -> None:
    if words is not None:
        raise CheckpointError("Only pedestrian checkpoints need --words.")


READERS: Mapping[str, Reader] = {
    "dcmpl": read_dcmpl,
    "dcmpl-bidirectional": partial(read_dcmpl, reading="bidirectional"),
    "taskformer": read_taskformer,
    "clip": read_taskformer,
    "clip-gelu": partial(read_taskformer, has_quick_gelu=False),
    "compcars": read_compcars,
    "compcars-attention": partial(read_compcars, pooling="attention"),
    "compcars-two-scale": partial(read_compcars, is_two_scale=True),
}
