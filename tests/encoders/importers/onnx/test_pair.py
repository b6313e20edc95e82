from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto
from PIL import Image

from encoders.bundle import Bundle
from encoders.errors import BundleError
from encoders.images.decoding import decode
from encoders.images.resizing import resize
from encoders.importers.onnx.pair import PairFiles, import_pair
from encoders.importers.onnx.spec import ImageSpec
from encoders.importers.onnx.text_spec import PairSpec
from encoders.serving.providers import SessionOptions
from encoders.serving.session import EmbeddingSession
from encoders.serving.text import Tokenizer
from tests.support import exported_pairs
from tests.support.exported_pairs import SENTENCES, ExportedPair
from tests.support.networks import SIZE, tiny_network
from tests.support.token_networks import WORDS, token_network, token_rows, word_tokenizer

DEMO = Path(__file__).parents[5] / "shared" / "realdata" / "demo"
PHOTOS = [DEMO / f"{name}.jpg" for name in ("bird", "hot_dog", "owl", "pets")]
TOLERANCE = 1e-4
FAMILIES: list[Callable[[Path], ExportedPair]] = [
    exported_pairs.clip_two_files,
    exported_pairs.clip_one_file,
    exported_pairs.openclip,
    exported_pairs.mobileclip,
    exported_pairs.siglip,
    exported_pairs.siglip2,
    exported_pairs.jina,
]
TEXTS = ("green parrot", "a photo of a cat", "trees")


@pytest.fixture(scope="module", params=FAMILIES, ids=lambda family: family.__name__)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ExportedPair:
    made: ExportedPair = request.param(tmp_path_factory.mktemp("exported"))
    return made


@pytest.fixture(scope="module")
def served(exported: ExportedPair, tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Bundle]:
    return import_exported(exported, tmp_path_factory.mktemp("models"), fp16=True)


def import_exported(pair: ExportedPair, out: Path, *, fp16: bool = False) -> tuple[Bundle, Bundle]:
    files = PairFiles(image=pair.image, text=pair.text, tokenizer=pair.tokenizer)
    return import_pair(files, name="mine", spec=PairSpec.of(pair.spec), out=out, fp16=fp16)


def embed_texts(bundle: Bundle, texts: tuple[str, ...], precision: str = "") -> NDArray[np.float32]:
    tokenizer, session = Tokenizer(bundle), EmbeddingSession(bundle, SessionOptions(precision=precision))
    batch = session.run([tokenizer.encode(text).ids for text in texts])
    return np.stack([np.asarray(result) for result in batch.results])


def embed_photos(bundle: Bundle, photos: list[Path]) -> NDArray[np.float32]:
    pixels = [resize(decode(path.read_bytes()).pixels, bundle.image_preprocessing) for path in photos]
    return np.stack([np.asarray(result) for result in EmbeddingSession(bundle).run(pixels).results])


def test_texts_are_embedded_as_by_the_exporters_own_forward(
    exported: ExportedPair, served: tuple[Bundle, Bundle]
) -> None:
    """Twenty sentences of different lengths in one batch, and each alone, get what the library computes of them."""
    expected = exported.embed_texts(SENTENCES)
    together = embed_texts(served[1], SENTENCES)
    alone = np.concatenate([embed_texts(served[1], (text,)) for text in SENTENCES])

    assert np.linalg.norm(expected - expected[0], axis=1).max() > 0.1
    np.testing.assert_allclose(together, expected, atol=TOLERANCE)
    np.testing.assert_allclose(alone, expected, atol=TOLERANCE)


@pytest.mark.realdata
@pytest.mark.skipif(not DEMO.is_dir(), reason="needs the photos of ../shared/realdata")
def test_photos_are_embedded_as_by_the_exporters_own_forward(
    exported: ExportedPair, served: tuple[Bundle, Bundle]
) -> None:
    """Four photos, decoded and resized here, get what the library computes with its own preprocessing."""
    images = [Image.open(path).convert("RGB") for path in PHOTOS]

    np.testing.assert_allclose(embed_photos(served[0], PHOTOS), exported.embed_images(images), atol=TOLERANCE)


def test_both_bundles_share_a_space_and_take_any_batch(served: tuple[Bundle, Bundle]) -> None:
    """A collection of the image bundle is searched with the text bundle."""
    image, text = served

    assert image.space == text.space
    assert (image.kind, image.name, text.kind, text.name) == ("image", "mine", "text", "mine-text")
    assert image.max_batch is None
    assert text.max_batch is None


def test_half_precision_is_near(exported: ExportedPair, served: tuple[Bundle, Bundle]) -> None:
    """The file of 16 bits is smaller, is loaded as serving does, and embeds nearly the same."""
    text = served[1]

    cosines = (embed_texts(text, SENTENCES, "fp16") * exported.embed_texts(SENTENCES)).sum(axis=1)

    assert cosines.min() > 0.998
    assert text.gate["fp16"]["least_cosine"] > 0.999
    assert text.path_of("fp16").stat().st_size < 0.75 * text.path_of("fp32").stat().st_size
    EmbeddingSession(served[0], SessionOptions(precision="fp16")).warm_up()


def test_a_text_of_unknown_letters_is_refused(tmp_path: Path) -> None:
    """A Unigram tokenizer's unknown token is known as such: it would mean any other such text."""
    texts = import_exported(exported_pairs.siglip(tmp_path), tmp_path / "models")[1]

    assert "knows no word of this text (赤い, 車)" in Tokenizer(texts).encode("赤い 車").refusal
    assert not Tokenizer(texts).encode("a red car").refusal


def test_scale_of_the_scores_is_kept(tmp_path: Path) -> None:
    """Scale and bias of a published score are information alone."""
    image, text = import_exported(exported_pairs.siglip(tmp_path), tmp_path / "models")

    assert (image.gate["logit_scale"], text.gate["logit_bias"]) == (4.7, -16.5)


def test_each_bundle_of_one_file_has_its_own_part(tmp_path: Path) -> None:
    """Of a file with both towers each bundle keeps the weights that it needs."""
    pair = exported_pairs.clip_one_file(tmp_path)
    both = pair.image.stat().st_size

    image, text = import_exported(pair, tmp_path / "models")

    assert image.path_of("fp32").stat().st_size + text.path_of("fp32").stat().st_size < 1.1 * both


@pytest.mark.parametrize(("sketches", "modalities"), [(True, ("image", "sketch")), (False, ("image",))])
def test_the_image_model_may_read_drawings(tmp_path: Path, *, sketches: bool, modalities: tuple[str, ...]) -> None:
    """One tower for photos and drawings is a bundle of both modalities."""
    import_tokens(tmp_path, {"pooling": "mean"}, sketches=sketches)

    assert Bundle.load(tmp_path / "models" / "mine").modalities == modalities


def import_tokens(
    tmp_path: Path,
    text: dict[str, Any],
    *,
    tokenizer: Path | None = None,
    network: Path | None = None,
    sketches: bool = False,
) -> Bundle:
    spec = ImageSpec.of({"size": list(SIZE), "output": "vector_out"})
    files = PairFiles(
        image=tiny_network(tmp_path / "image.onnx", spec),
        text=network or token_network(tmp_path / "text.onnx"),
        tokenizer=tokenizer or word_tokenizer(tmp_path),
    )
    pair = PairSpec.of({"image": spec.as_json(), "text": text, "sketches": sketches})
    return import_pair(files, name="mine", spec=pair, out=tmp_path / "models")[1]


def expected_tokens(text: str, *, length: int, pad: int = 0) -> NDArray[np.float32]:
    """The network's tokens (T, D) of a text that ends with </s>, padded to `length`."""
    ids = [WORDS.index(word) for word in text.split()] + [1]
    rows: NDArray[np.float32] = token_rows()[ids + [pad] * (length - len(ids))].cumsum(axis=0)
    return rows


def unit(values: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    rows: NDArray[np.float32] = np.stack(values) / np.linalg.norm(values, axis=-1, keepdims=True)
    return rows


@pytest.mark.parametrize("dtype", [TensorProto.INT32, TensorProto.INT64])
@pytest.mark.parametrize(
    ("text", "pool"),
    [
        ({"pooling": "cls"}, lambda rows, _: rows[0]),
        ({"pooling": "mean"}, lambda rows, own: rows[:own].mean(axis=0)),
        ({"pooling": "eos"}, lambda rows, own: rows[own - 1]),
        ({"pooling": "eos", "padding": "fixed"}, lambda rows, own: rows[own - 1]),
        ({"pooling": "last", "padding": "fixed"}, lambda rows, _: rows[-1]),
    ],
)
def test_tokens_are_pooled_as_the_spec_says(
    tmp_path: Path, text: dict[str, Any], pool: Callable[[NDArray[np.float32], int], NDArray[np.float32]], dtype: int
) -> None:
    """What numpy makes of the tokens is what the bundle computes, in a batch of texts of different lengths."""
    network = token_network(tmp_path / "text.onnx", dtype=dtype)

    bundle = import_tokens(tmp_path, {"length": 12, "pad": 7, **text}, network=network)

    expected = [pool(expected_tokens(each, length=12, pad=7), len(each.split()) + 1) for each in TEXTS]
    np.testing.assert_allclose(embed_texts(bundle, TEXTS), unit(expected), atol=1e-5)


@pytest.mark.parametrize("dtype", [TensorProto.INT32, TensorProto.INT64])
def test_mask_positions_and_types_are_made(tmp_path: Path, dtype: int) -> None:
    """A network that asks for a mask, positions and types gets ones where the text is, 0, 1, 2 … and zeros."""
    further = ("attention_mask", "position_ids", "token_type_ids")
    network = token_network(tmp_path / "text.onnx", dtype=dtype, further=further)

    bundle = import_tokens(tmp_path, {"pooling": "last", "padding": "fixed", "length": 12}, network=network)

    # The last of twelve tokens is padding: its mask is 0 and its position 11.
    expected = [expected_tokens(each, length=12)[-1] + 0.0 + 11 / 10 for each in TEXTS]
    np.testing.assert_allclose(embed_texts(bundle, TEXTS), unit(expected), atol=1e-5)


def test_end_is_added_where_the_tokenizer_does_not(tmp_path: Path) -> None:
    """A tokenizer without an end of the text gets the spec's, and a long text keeps it."""
    bundle = import_tokens(
        tmp_path, {"pooling": "eos", "end": "</s>", "length": 4}, tokenizer=word_tokenizer(tmp_path, end=False)
    )

    assert Tokenizer(bundle).encode("a photo of a cat").ids.tolist()[-1] == WORDS.index("</s>")
    assert len(Tokenizer(bundle).encode("a photo of a cat").ids) == 4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ({}, "give the spec a text.pooling"),
        ({"pooling": "mean", "output": "nothing"}, "no output 'nothing'"),
        ({"pooling": "mean", "ids": "tokens"}, "no input 'tokens'; its inputs are input_ids"),
        ({"pooling": "mean", "pad": "<nothing>"}, "knows no token '<nothing>'"),
        ({"pooling": "mean", "pad": 99_999}, "does not know the token 99999"),
        ({"pooling": "last"}, 'needs "padding": "fixed"'),
        ({"pooling": "mean", "length": 2}, "text.length is 2; it must be a whole number of tokens, 4 to 1024"),
        ({"pooling": "mean", "lenght": 12}, "key 'text.lenght' is unknown"),
    ],
)
def test_spec_that_is_not_true_to_the_model_is_refused(tmp_path: Path, text: dict[str, Any], words: str) -> None:
    """A spec and a model that disagree cost one line, and neither bundle is left."""
    with pytest.raises(BundleError, match=words) as refused:
        import_tokens(tmp_path, text)

    assert "\n" not in str(refused.value)
    assert not (tmp_path / "models").exists() or not list((tmp_path / "models").iterdir())


def test_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    """A tokenizer with more tokens than the network has rows would fail at a query; it fails at the import."""
    network = token_network(tmp_path / "text.onnx", rows=len(WORDS) - 1)

    with pytest.raises(BundleError, match=f"does not know the token {len(WORDS) - 1}"):
        import_tokens(tmp_path, {"pooling": "mean"}, network=network)


@pytest.mark.parametrize("content", [b"{}", b"not json", b"<html>", b"", b'{"model": {"type": "BPE"}}', b"\xff\xfe"])
def test_broken_tokenizer_is_refused(tmp_path: Path, content: bytes) -> None:
    """A file that is called tokenizer.json and is something else costs one line."""
    (tmp_path / "broken.json").write_bytes(content)

    with pytest.raises(BundleError, match=r"broken\.json") as refused:
        import_tokens(tmp_path, {"pooling": "mean"}, tokenizer=tmp_path / "broken.json")

    assert "\n" not in str(refused.value)


def test_fixed_length_must_be_the_specs(tmp_path: Path) -> None:
    """A network that reads exactly 77 tokens says what the spec needs."""
    model = onnx.load(token_network(tmp_path / "text.onnx"))
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 77
    onnx.save(model, tmp_path / "text.onnx")

    with pytest.raises(BundleError, match='needs "length": 77 and "padding": "fixed"'):
        import_tokens(tmp_path, {"pooling": "mean"}, network=tmp_path / "text.onnx")


def test_towers_of_two_models_are_refused(tmp_path: Path) -> None:
    """Embeddings of different dimensions cannot share a space."""
    spec = ImageSpec.of({"size": list(SIZE), "output": "flat"})
    files = PairFiles(
        image=tiny_network(tmp_path / "image.onnx", spec),
        text=token_network(tmp_path / "text.onnx"),
        tokenizer=word_tokenizer(tmp_path),
    )
    pair = PairSpec.of({"image": spec.as_json(), "text": {"pooling": "mean"}})

    with pytest.raises(BundleError, match="has 18 numbers and the text model's 5"):
        import_pair(files, name="mine", spec=pair, out=tmp_path / "models")
