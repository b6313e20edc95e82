"""Image and text towers of random weights, exported as their own libraries' users export them, beside their own forward."""

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from open_clip.model import CLIP
from open_clip.tokenizer import SimpleTokenizer, canonicalize_text
from open_clip.transform import image_transform
from PIL import Image
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor, nn
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTokenizer,
    SiglipConfig,
    SiglipModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from training.tokens.clip import clip_tokenizer_json, published_merges

SIDE_PX = 64
DIMENSION = 24
CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
CLIP_STD = [0.26862954, 0.26130258, 0.27577711]
SENTENCES = (
    "a photo of a cat",
    "A black dog runs on the beach!",
    "two red cars parked in front of a white house",
    "sunflowers",
    "a hot dog with mustard on a paper plate",
    "an owl sits on a branch at night",
    "a man in a blue suit, smiling",
    "potato chips in a bag",
    "green parrot",
    "a dragonfly on a leaf, close-up",
    "the sea",
    "a bowl of oranges and apples on a table",
    "children play football in the rain",
    "an old bicycle leaning against a wall",
    "snow on the mountains behind a lake",
    "a bird in flight over the water",
    "pets: a cat and a dog on the same sofa",
    "yellow taxi in new york",
    "black and white portrait of a woman",
    (
        "a very long sentence about a market where people sell fruit and fish and bread and flowers from early in the "
        "morning until late in the evening while musicians play and children run between the stalls and dogs wait for a "
        "piece of meat that somebody drops on the ground beside the fountain in the middle of the old square of the town"
    ),
)
_HIDDEN = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedPair:
    """The files and the spec to import, and what the library itself computes, of any length."""

    image: Path
    text: Path
    tokenizer: Path
    spec: Mapping[str, Any]
    embed_images: Callable[[Sequence[Image.Image]], NDArray[np.float32]]
    embed_texts: Callable[[Sequence[str]], NDArray[np.float32]]


class _Tower(nn.Module):
    def __init__(self, network: nn.Module, compute: Callable[..., Any]) -> None:
        super().__init__()
        self.network = network  # the exporter takes no other weights
        self.compute = compute

    def forward(self, *inputs: Tensor) -> Any:
        return self.compute(*inputs)


def clip_two_files(folder: Path) -> ExportedPair:
    """CLIP of transformers as `text_model.onnx` and `vision_model.onnx`, with the mask as an input."""
    network = _clip()
    _export(
        network,
        lambda ids, mask: network.get_text_features(input_ids=ids, attention_mask=mask).pooler_output,
        {"input_ids": _ids(9), "attention_mask": torch.ones(2, 9, dtype=torch.int64)},
        ["text_embeds"],
        folder / "text_model.onnx",
    )
    _export(
        network,
        lambda pixels: network.get_image_features(pixel_values=pixels).pooler_output,
        {"pixel_values": _pixels()},
        ["image_embeds"],
        folder / "vision_model.onnx",
    )
    return _clip_pair(folder, network, "vision_model.onnx", "text_model.onnx")


def clip_one_file(folder: Path) -> ExportedPair:
    """CLIP of transformers as one `model.onnx` with logits, as transformers.js ships it."""
    network = _clip()

    def forward(ids: Tensor, pixels: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        done = network(input_ids=ids, pixel_values=pixels, attention_mask=mask)
        return done.logits_per_image, done.logits_per_text, done.text_embeds, done.image_embeds

    inputs = {"input_ids": _ids(9), "pixel_values": _pixels(), "attention_mask": torch.ones(2, 9, dtype=torch.int64)}
    outputs = ["logits_per_image", "logits_per_text", "text_embeds", "image_embeds"]
    _export(network, forward, inputs, outputs, folder / "model.onnx")
    return _clip_pair(folder, network, "model.onnx", "model.onnx")


def openclip(folder: Path) -> ExportedPair:
    """CLIP of open_clip, whose text tower reads exactly 77 tokens, as int32 after a cast at export."""
    network = CLIP(
        DIMENSION,
        {"image_size": SIDE_PX, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
        {"context_length": 77, "vocab_size": 49_408, "width": 64, "heads": 2, "layers": 2},
    )
    return _openclip_pair(folder, network, {"resize": "shortest_crop", "interpolation": "bicubic"}, CLIP_MEAN, CLIP_STD)


def mobileclip(folder: Path) -> ExportedPair:
    """MobileCLIP's parts in open_clip: an image tower of timm's FastViT, pixels from 0 to 1, bilinear."""
    network = CLIP(
        DIMENSION,
        {"timm_model_name": "fastvit_t8", "timm_pool": "avg", "timm_proj": None, "image_size": SIDE_PX},
        {"context_length": 77, "vocab_size": 49_408, "width": 64, "heads": 2, "layers": 2, "no_causal_mask": False},
    )
    return _openclip_pair(
        folder, network, {"resize": "shortest_crop", "interpolation": "bilinear"}, [0.0] * 3, [1.0] * 3
    )


def siglip(folder: Path) -> ExportedPair:
    """SigLIP of transformers as two files: 64 tokens with padding, the last one pooled, Unigram, no punctuation."""
    tokenizer = _unigram()
    tokenizer.save(str(folder / "tokenizer.json"))
    return _siglip_pair(
        folder, tokenizer, pad_id=1, clean=canonicalize_text, text={"pad": "</s>", "cleaning": "canonicalize"}
    )


def siglip2(folder: Path) -> ExportedPair:
    """SigLIP 2: the same towers behind a tokenizer of byte pairs, in lower case, padded with 0."""
    tokenizer = _byte_pairs()
    tokenizer.save(str(folder / "tokenizer.json"))
    return _siglip_pair(folder, tokenizer, pad_id=0, clean=str.lower, text={})


def jina(folder: Path) -> ExportedPair:
    """Jina CLIP's parts: XLM-RoBERTa whose mask is made of the padding inside, averaged, in one file with an image tower."""
    tokenizer = _unigram()
    roberta = _scattered(
        XLMRobertaModel(
            XLMRobertaConfig(
                vocab_size=tokenizer.get_vocab_size(),
                pad_token_id=1,
                max_position_embeddings=130,
                attn_implementation="eager",
                **_HIDDEN,
            ),
            add_pooling_layer=False,
        )
    )
    photos = _clip().vision_model
    projection = _scattered(nn.Linear(32, 32))

    def embed_texts(ids: Tensor) -> Any:
        mask = (ids != 1).long()
        tokens = roberta(input_ids=ids, attention_mask=mask).last_hidden_state
        return (tokens * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)

    def embed_images(pixels: Tensor) -> Any:
        return projection(photos(pixel_values=pixels).pooler_output)

    def forward(ids: Tensor, pixels: Tensor) -> tuple[Tensor, ...]:
        texts, images = embed_texts(ids), embed_images(pixels)
        return texts, images, nn.functional.normalize(texts), nn.functional.normalize(images)

    outputs = ["text_embeddings", "image_embeddings", "l2norm_text_embeddings", "l2norm_image_embeddings"]
    inputs = {"input_ids": _ids(9, 40), "pixel_values": _pixels()}
    _export(nn.ModuleList([roberta, photos, projection]), forward, inputs, outputs, folder / "model.onnx")
    tokenizer.save(str(folder / "tokenizer.json"))

    def embed_all(texts: Sequence[str]) -> NDArray[np.float32]:
        with torch.inference_mode():
            rows = [embed_texts(torch.tensor([_cut(tokenizer.encode(text).ids, 96)])) for text in texts]
        return _unit(torch.cat(rows))

    return ExportedPair(
        image=folder / "model.onnx",
        text=folder / "model.onnx",
        tokenizer=folder / "tokenizer.json",
        spec={
            "image": _image_spec({"resize": "shortest_crop", "interpolation": "bicubic"}, CLIP_MEAN, CLIP_STD),
            "text": {"length": 96, "pad": 1},
        },
        embed_images=_images(embed_images, "shortest", "bicubic", CLIP_MEAN, CLIP_STD),
        embed_texts=embed_all,
    )


def _clip() -> CLIPModel:
    text = {"vocab_size": 49_408, "max_position_embeddings": 77, "bos_token_id": 49_406, "eos_token_id": 49_407}
    config = CLIPConfig(
        text_config={**_HIDDEN, **text},
        vision_config={**_HIDDEN, "image_size": SIDE_PX, "patch_size": 16},
        projection_dim=DIMENSION,
        attn_implementation="eager",
    )
    return _scattered(CLIPModel(config))


def _clip_pair(folder: Path, network: CLIPModel, image: str, text: str) -> ExportedPair:
    tokenizer = _clip_tokenizer()
    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))

    def embed_texts(texts: Sequence[str]) -> NDArray[np.float32]:
        inputs = tokenizer(list(texts), padding=True, truncation=True, max_length=77, return_tensors="pt")
        with torch.inference_mode():
            return _unit(network.get_text_features(**inputs).pooler_output)

    return ExportedPair(
        image=folder / image,
        text=folder / text,
        tokenizer=folder / "tokenizer.json",
        spec={
            "image": _image_spec({"resize": "shortest_crop", "interpolation": "bicubic"}, CLIP_MEAN, CLIP_STD),
            "text": {"length": 77, "pad": "<|endoftext|>"},
            "logit_scale": 2.6592,
        },
        embed_images=_images(
            lambda pixels: network.get_image_features(pixel_values=pixels).pooler_output,
            "shortest",
            "bicubic",
            CLIP_MEAN,
            CLIP_STD,
        ),
        embed_texts=embed_texts,
    )


def _clip_tokenizer() -> CLIPTokenizer:
    published = SimpleTokenizer()
    renamed = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {renamed.get(token, token): number for token, number in published.encoder.items()}
    return CLIPTokenizer(vocab=vocabulary, merges=list(published.bpe_ranks))


def _openclip_pair(
    folder: Path, network: CLIP, image: Mapping[str, Any], mean: list[float], std: list[float]
) -> ExportedPair:
    network = _scattered(network)
    _export(network, network.encode_image, {"image": _pixels()}, ["image_features"], folder / "visual.onnx")
    _export(
        network,
        lambda ids: network.encode_text(ids.long()),
        {"text": _ids(77).int()},
        ["text_features"],
        folder / "textual.onnx",
        free_length=False,
    )
    (folder / "tokenizer.json").write_text(clip_tokenizer_json(published_merges()))
    tokenize = open_clip.SimpleTokenizer(context_length=77)

    def embed_texts(texts: Sequence[str]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return _unit(network.encode_text(tokenize(list(texts))))

    return ExportedPair(
        image=folder / "visual.onnx",
        text=folder / "textual.onnx",
        tokenizer=folder / "tokenizer.json",
        spec={
            "image": _image_spec(image, mean, std),
            "text": {"length": 77, "padding": "fixed", "pad": 0, "cleaning": "clip"},
        },
        embed_images=_images(network.encode_image, "shortest", image["interpolation"], mean, std),
        embed_texts=embed_texts,
    )


def _siglip_pair(
    folder: Path, tokenizer: Tokenizer, *, pad_id: int, clean: Callable[[str], str], text: Mapping[str, Any]
) -> ExportedPair:
    config = SiglipConfig(
        text_config={
            **_HIDDEN,
            "vocab_size": tokenizer.get_vocab_size(),
            "max_position_embeddings": 64,
            "bos_token_id": 1,
            "eos_token_id": 1,
        },
        vision_config={**_HIDDEN, "image_size": SIDE_PX, "patch_size": 16},
        attn_implementation="eager",
    )
    network = _scattered(SiglipModel(config))

    def embed_ids(ids: Tensor) -> tuple[Tensor, Tensor]:
        done = network.text_model(input_ids=ids)
        return done.last_hidden_state, done.pooler_output

    def embed_pixels(pixels: Tensor) -> tuple[Tensor, Tensor]:
        done = network.vision_model(pixel_values=pixels)
        return done.last_hidden_state, done.pooler_output

    outputs = ["last_hidden_state", "pooler_output"]
    _export(network, embed_ids, {"input_ids": _ids(64, 40)}, outputs, folder / "text_model.onnx", free_length=False)
    _export(network, embed_pixels, {"pixel_values": _pixels()}, outputs, folder / "vision_model.onnx")

    def embed_texts(texts: Sequence[str]) -> NDArray[np.float32]:
        ids = [_cut(tokenizer.encode(clean(text)).ids, 64) for text in texts]
        padded = torch.tensor([row + [pad_id] * (64 - len(row)) for row in ids])
        with torch.inference_mode():
            return _unit(embed_ids(padded)[1])

    half = [0.5] * 3
    return ExportedPair(
        image=folder / "vision_model.onnx",
        text=folder / "text_model.onnx",
        tokenizer=folder / "tokenizer.json",
        spec={
            "image": _image_spec({"resize": "squash", "interpolation": "bicubic"}, half, half),
            "text": {"length": 64, "padding": "fixed", **text},
            "logit_scale": 4.7,
            "logit_bias": -16.5,
        },
        embed_images=_images(lambda pixels: embed_pixels(pixels)[1], "squash", "bicubic", half, half),
        embed_texts=embed_texts,
    )


def _unigram() -> Tokenizer:
    """A tokenizer as SentencePiece's converted ones are, that ends every text with </s>."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = ["<unk>", "</s>"]
    trainer = trainers.UnigramTrainer(vocab_size=200, special_tokens=special, unk_token="<unk>")  # noqa: S106 - not a password
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return tokenizer


def _byte_pairs() -> Tokenizer:
    """A tokenizer as Gemma's: byte pairs over text whose spaces are written ▁."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))  # noqa: S106 - not a password
    tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.Replace(" ", "▁")])
    special = ["<pad>", "<eos>", "<bos>", "<unk>"]
    tokenizer.train_from_iterator(SENTENCES, trainers.BpeTrainer(vocab_size=300, special_tokens=special))
    tokenizer.post_processor = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    return Tokenizer.from_str(json.dumps(json.loads(tokenizer.to_str())))


def _scattered(network: Any) -> Any:
    """Make weights so large that different inputs get clearly different embeddings."""
    torch.manual_seed(5)
    for parameter in network.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.12)
    return network.eval()


def _export(
    network: nn.Module,
    compute: Callable[..., Any],
    inputs: Mapping[str, Tensor],
    outputs: list[str],
    path: Path,
    *,
    free_length: bool = True,
) -> None:
    axes = {name: {0: "batch"} for name in (*inputs, *outputs)}
    for name, tensor in inputs.items():
        if free_length and tensor.ndim == 2:
            axes[name][1] = "sequence"
    with warnings.catch_warnings(action="ignore"):
        torch.onnx.export(
            _Tower(network, compute).eval(),
            tuple(inputs.values()),
            path,
            dynamo=False,
            opset_version=17,
            input_names=list(inputs),
            output_names=outputs,
            dynamic_axes=axes,
        )


def _image_spec(image: Mapping[str, Any], mean: list[float], std: list[float]) -> dict[str, Any]:
    return {"size": [SIDE_PX, SIDE_PX], "scale": 1 / 255, "mean": mean, "std": std, **image}


def _images(
    compute: Callable[[Tensor], Tensor], mode: str, interpolation: str, mean: list[float], std: list[float]
) -> Callable[[Sequence[Image.Image]], NDArray[np.float32]]:
    prepare = image_transform(
        SIDE_PX, is_train=False, mean=tuple(mean), std=tuple(std), resize_mode=mode, interpolation=interpolation
    )

    def embed(images: Sequence[Image.Image]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return _unit(compute(torch.stack([prepare(image) for image in images])))

    return embed


def _cut(ids: list[int], length: int) -> list[int]:
    """Keep the last token, the end of the text."""
    return ids if len(ids) <= length else [*ids[: length - 1], ids[-1]]


def _ids(length: int, largest: int = 49_000) -> Tensor:
    return torch.randint(2, largest, (2, length), generator=torch.Generator().manual_seed(1))


def _pixels() -> Tensor:
    return torch.rand(2, 3, SIDE_PX, SIDE_PX, generator=torch.Generator().manual_seed(2))


def _unit(embeddings: Tensor) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = nn.functional.normalize(embeddings, dim=1).numpy()
    return unit
