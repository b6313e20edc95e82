"""Owns TASK-former: CLIP's towers, a sketch tower that may be the image tower, and the heads that it trains with."""

from dataclasses import dataclass, field
from typing import Any, Literal, cast

import torch
from open_clip import CLIP, CLIPTextCfg, CLIPVisionCfg
from torch import Tensor, nn
from torch.nn import functional as F

from training.models.caption_decoder import CaptionDecoder
from training.models.small_towers import LayoutTower, PhraseTower

HEAD_WIDTH = 64
PADDING = 0
# Low enough for no attention at all; finite, because the difference of two infinities spoils a moving average.
MASKED = -1e4

ImageTower = Literal["transformer", "layout"]
TextTower = Literal["transformer", "phrases"]


@dataclass(frozen=True, slots=True)
class TaskFormerConfig:
    """The defaults are the published network: CLIP ViT-B/16 with one tower for photos and sketches.

    OpenAI's weights were trained with the quick GELU, TASK-former's too; others want the exact one.
    `has_heads` adds the classifier and the caption decoder, which only training needs.

    The `layout` tower of images, as its widths say, and the `phrases` tower of text, `text_width` wide, stand in the
    place of CLIP's where a network is trained on little and from nothing.
    """

    is_sketch_tower_shared: bool = field(default=True, metadata={"key": "shares_sketch_tower"})
    has_quick_gelu: bool = True
    has_heads: bool = True
    dimension: int = 512
    image_px: int = 224
    patch_px: int = 16
    vision_width: int = 768
    vision_layers: int = 12
    text_width: int = 512
    text_layers: int = 12
    max_tokens: int = 77
    vocabulary_size: int = 49_408
    classes: int = 90
    decoder_depth: int = 6
    decoder_heads: int = 8
    image_tower: ImageTower = field(default="transformer", metadata={"key": "picture_tower"})
    layout_widths: tuple[int, ...] = (24, 48, 64, 96)
    layout_cell_width: int = 40
    layout_pooled_width: int = 256
    text_tower: TextTower = "transformer"


class TaskFormer(CLIP):  # type: ignore[misc]  # open_clip brings no types
    """Embeddings come before normalisation, (N, D); `fuse` and the losses make them unit length."""

    visual: Any
    attn_mask: Tensor

    def __init__(self, config: TaskFormerConfig) -> None:
        super().__init__(config.dimension, _vision(config), _text(config), quick_gelu=config.has_quick_gelu)
        self.config = config
        self.attn_mask = self.attn_mask.clamp(min=MASKED)
        if config.text_tower == "phrases":
            self.transformer = PhraseTower(config.text_width, config.dimension)
            # What else CLIP reads text with is not there.
            del self.positional_embedding, self.text_projection, self.ln_final
        else:
            _make_exportable(self.transformer)
        self.visual = _image_tower(self.visual, config)
        self.visual2 = self.visual if config.is_sketch_tower_shared else _sketch_tower(config)
        if config.has_heads:
            self.classification_fc_1 = nn.Linear(config.dimension, 1024)
            self.classification_fc_2 = nn.Linear(1024, config.classes)
            self.decoder = CaptionDecoder(
                tokens=config.vocabulary_size,
                max_tokens=config.max_tokens,
                width=config.dimension,
                depth=config.decoder_depth,
                heads=config.decoder_heads,
            )

    def forward(self, image: Tensor, sketch: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if self.config.is_sketch_tower_shared:
            # In one batch, because a tower that normalises by its batch must meet both kinds in training as in service.
            photos, sketches = self.embed_image(torch.cat([image, sketch])).chunk(2)
            return photos, sketches, self.embed_text(tokens)
        return self.embed_image(image), self.embed_sketch(sketch), self.embed_text(tokens)

    def embed_image(self, image: Tensor) -> Tensor:
        """Embed photos, CLIP-normalised (N, 3, S, S)."""
        return cast("Tensor", self.visual(image))

    def embed_sketch(self, sketch: Tensor) -> Tensor:
        """Embed sketches, dark on white and CLIP-normalised (N, 3, S, S)."""
        return cast("Tensor", self.visual2(sketch))

    def embed_text(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Embed captions, int64 (N, T) of any T up to the longest.

        What follows the first end-of-text is not read, nor what lies behind a caption's length (N,) where it is given.
        """
        length = tokens.shape[1]
        if lengths is not None:
            is_text = torch.arange(length, device=tokens.device) < lengths[:, None]
            tokens = tokens * is_text
        words = self.token_embedding(tokens)
        if self.config.text_tower == "phrases":
            return cast("Tensor", self.transformer(words, tokens != PADDING))
        words = words + self.positional_embedding[:length]
        states = self.ln_final(self.transformer(words, attn_mask=self.attn_mask[:length, :length]))
        # End-of-text has the highest id, and argmax takes the first maximum.
        end = tokens.argmax(dim=1)
        return cast("Tensor", states[torch.arange(tokens.shape[0], device=tokens.device), end] @ self.text_projection)

    def classify(self, embedding: Tensor) -> Tensor:
        """Say which categories a photo, sketch or sentence shows: logits (N, classes)."""
        return cast("Tensor", self.classification_fc_2(F.relu(self.classification_fc_1(embedding))))


def fuse(text: Tensor, sketch: Tensor) -> Tensor:
    """Return the query of a sentence and a sketch: the direction between both, (N, D) of unit length."""
    return F.normalize(F.normalize(text, dim=1) + F.normalize(sketch, dim=1), dim=1)


def _vision(config: TaskFormerConfig) -> CLIPVisionCfg:
    if config.image_tower == "layout":
        # CLIP insists on a tower of its own, which is then replaced.
        return CLIPVisionCfg(layers=1, width=HEAD_WIDTH, head_width=HEAD_WIDTH)
    return CLIPVisionCfg(
        layers=config.vision_layers,
        width=config.vision_width,
        head_width=HEAD_WIDTH,
        patch_size=config.patch_px,
        image_size=config.image_px,
    )


def _text(config: TaskFormerConfig) -> CLIPTextCfg:
    # Where the tower is replaced, CLIP's is made as small as it may be.
    is_clips = config.text_tower == "transformer"
    return CLIPTextCfg(
        context_length=config.max_tokens,
        vocab_size=config.vocabulary_size,
        width=config.text_width,
        heads=config.text_width // HEAD_WIDTH if is_clips else 1,
        layers=config.text_layers if is_clips else 1,
    )


def _sketch_tower(config: TaskFormerConfig) -> nn.Module:
    # A whole CLIP is made for its tower, because open_clip has no public name for a tower alone.
    text = CLIPTextCfg(vocab_size=1, context_length=1, width=HEAD_WIDTH, heads=1, layers=1)
    return _image_tower(CLIP(config.dimension, _vision(config), text, quick_gelu=config.has_quick_gelu).visual, config)


def _image_tower(of_clip: Any, config: TaskFormerConfig) -> nn.Module:
    if config.image_tower == "layout":
        return LayoutTower(
            config.image_px,
            config.layout_widths,
            cell_width=config.layout_cell_width,
            pooled_width=config.layout_pooled_width,
            dimension=config.dimension,
        )
    _make_exportable(of_clip.transformer)
    return cast("nn.Module", of_clip)


class SelfAttention(nn.Module):
    """torch's multi-head attention under its own parameter names, for graphs of any length.

    torch's, when traced, writes the length into the graph, or becomes an operator that ONNX lacks.
    """

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        self.in_proj_weight, self.in_proj_bias = attention.in_proj_weight, attention.in_proj_bias
        self.out_proj = attention.out_proj

    def forward(
        self,
        states: Tensor,
        _key: Tensor,
        _value: Tensor,
        *,
        need_weights: bool = False,
        attn_mask: Tensor | None = None,
    ) -> tuple[Tensor, None]:
        assert not need_weights
        query, key, value = (
            part.reshape(*part.shape[:2], -1, HEAD_WIDTH).transpose(1, 2)
            for part in F.linear(states, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=2)
        )
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=attn_mask)
        return self.out_proj(attended.transpose(1, 2).flatten(2)), None


def _make_exportable(transformer: Any) -> None:
    for block in transformer.resblocks:
        block.attn = SelfAttention(block.attn)
