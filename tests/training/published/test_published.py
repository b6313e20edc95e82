import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import gelu

from encoders.bundle import Bundle
from encoders.errors import BundleError
from encoders.images.resizing import resize
from encoders.importers.torch_models import NETWORKS
from encoders.serving.session import EmbeddingSession
from encoders.serving.text import Tokenizer
from tests.support.clip_towers import image_embedding, text_embedding
from tests.support.images import corners
from training.checkpoints.tensors import CheckpointError
from training.models.compcars import CompCars, CompCarsConfig, Pooling
from training.models.dcmpl import Dcmpl, DcmplConfig, Reading
from training.models.taskformer import TaskFormer, TaskFormerConfig
from training.published.__main__ import import_checkpoint, main
from training.published.networks import READERS

WORDS = ["a", "and", "<END>", "<START>", "man", "coat", "red", "black"]
SENTENCE = "A man, and a black umbrella."
PEOPLE = DcmplConfig(vocabulary_size=12, word_dimension=8, hidden=6, dimension=5, width=0.125)
SCENES = TaskFormerConfig(
    dimension=16,
    image_px=32,
    vision_width=64,
    vision_layers=1,
    text_width=64,
    text_layers=1,
    max_tokens=12,
    classes=4,
    decoder_depth=1,
    decoder_heads=1,
)
CLIP_STATISTICS = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGE = np.asarray(corners((90, 60)))


def embedded(bundle: Bundle, content: np.ndarray | str) -> np.ndarray:
    """What the bundle says of an image or a text, as the encoder service asks it."""
    item: np.ndarray
    if isinstance(content, str):
        item = Tokenizer(bundle).encode(content).ids
    else:
        item = resize(content, bundle.image_preprocessing)
    return np.asarray(EmbeddingSession(bundle).run([item]).results[0])


def unit(embedding: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(embedding, dim=1)[0].numpy()


def scaled(pixels: np.ndarray, mean: Any, std: Any) -> torch.Tensor:
    return torch.from_numpy((((pixels / 255) - mean) / std).astype(np.float32)).permute(2, 0, 1)[None]


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """The published list of words, where the most frequent one has the id 0."""
    (tmp_path / "word_to_index.pkl").write_bytes(pickle.dumps({word: number for number, word in enumerate(WORDS)}))
    return tmp_path / "word_to_index.pkl"


@pytest.fixture
def pedestrians(tmp_path: Path) -> Path:
    """A checkpoint as the published training writes it: the averages differ from the network."""
    torch.manual_seed(4)
    network = Dcmpl(PEOPLE)
    network.train()(torch.rand(4, 3, 224, 224) * 2 - 1, torch.tensor([[1, 2]] * 4), torch.tensor([2] * 4))
    average = {f"module.{name}": value.detach() * 0.9 for name, value in network.named_parameters()}
    tensors = {f"module.{name}": value for name, value in network.state_dict().items()}
    path = tmp_path / "99.pth.tar"
    torch.save({"network": tensors, "network_ema": average, "W": torch.rand(5, 7), "epoch": 99}, path)
    return path


@pytest.mark.parametrize(("name", "reading"), [("dcmpl", "two_forward"), ("dcmpl-bidirectional", "bidirectional")])
def test_pedestrians_become_two_bundles_of_one_space(
    tmp_path: Path, pedestrians: Path, words: Path, name: str, reading: Reading
) -> None:
    """Raw images and sentences give what the averaged network says, fed by hand."""
    images, texts = import_checkpoint(name, pedestrians, words=words, name="people", out=tmp_path / "models")

    content = torch.load(pedestrians)
    tensors = content["network"] | content["network_ema"]
    network = Dcmpl(replace(PEOPLE, reading=reading)).eval()
    network.load_state_dict({key.removeprefix("module."): value for key, value in tensors.items()})
    squashed = np.asarray(Image.fromarray(IMAGE).resize((224, 224), Image.Resampling.BILINEAR))
    with torch.inference_mode():
        image = network.embed_image(scaled(squashed, 0.5, 0.5))
        # "A" is tried in lower case, the unknown "umbrella" has the id behind the last.
        sentence = network.embed_text(torch.tensor([[0, 4, 1, 0, 7, 8]]), torch.tensor([6]))
    np.testing.assert_allclose(embedded(images, IMAGE), unit(image), atol=1e-4)
    np.testing.assert_allclose(embedded(texts, SENTENCE), unit(sentence), atol=1e-4)
    assert (images.name, texts.name) == ("people", "people-text")
    assert (images.kind, texts.kind, images.dimension) == ("image", "text", 5)
    assert images.space == texts.space != ""
    assert images.gate["imported_from"] == "99.pth.tar"


@pytest.mark.parametrize("is_shared", [True, False])
def test_text_and_sketch_towers_share_a_space(tmp_path: Path, is_shared: bool) -> None:  # noqa: FBT001  # the case itself
    """Equal towers become one bundle for photos and sketches, others one each; texts are CLIP's."""
    torch.manual_seed(2)
    tensors = TaskFormer(replace(SCENES, is_sketch_tower_shared=is_shared)).state_dict()
    torch.save({"epoch": 3, "state_dict": tensors}, tmp_path / "tsbir_model_final.pt")

    bundles = import_checkpoint(
        "taskformer", tmp_path / "tsbir_model_final.pt", words=None, name="scenes", out=tmp_path / "models"
    )

    described = {bundle.name: bundle.modalities for bundle in bundles}
    if is_shared:
        assert described == {"scenes": ("image", "sketch"), "scenes-text": ("text",)}
    else:
        assert described == {"scenes": ("image",), "scenes-sketch": ("sketch",), "scenes-text": ("text",)}
    assert len({bundle.space for bundle in bundles}) == 1
    cut = np.asarray(Image.fromarray(IMAGE).resize((48, 32), Image.Resampling.BICUBIC))[:, 8:40]
    pixels = scaled(cut, *CLIP_STATISTICS)
    for bundle in bundles[:-1]:
        tower = "visual2" if bundle.kind == "sketch" else "visual"
        np.testing.assert_allclose(
            embedded(bundle, IMAGE), unit(image_embedding(tensors, pixels, tower=tower)), atol=1e-4
        )
    tokens = torch.tensor([[49406, 320, 1125, 539, 320, 2368, 49407]])
    np.testing.assert_allclose(
        embedded(bundles[-1], "a photo of a cat"), unit(text_embedding(tensors, tokens)), atol=1e-4
    )


def test_other_clips_want_the_exact_gelu(tmp_path: Path) -> None:
    """Which one is not in the file, so that it is in the name."""
    torch.manual_seed(2)
    tensors = TaskFormer(replace(SCENES, has_heads=False)).state_dict()
    clip = {name: tensor for name, tensor in tensors.items() if not name.startswith("visual2.")}
    torch.save(clip, tmp_path / "ViT-S.pt")

    images, _ = import_checkpoint("clip-gelu", tmp_path / "ViT-S.pt", words=None, name="clip", out=tmp_path / "out")

    cut = np.asarray(Image.fromarray(IMAGE).resize((48, 32), Image.Resampling.BICUBIC))[:, 8:40]
    pixels = scaled(cut, *CLIP_STATISTICS)
    exact = unit(image_embedding(clip, pixels, activation=gelu))
    np.testing.assert_allclose(embedded(images, IMAGE), exact, atol=1e-4)
    assert not np.allclose(exact, unit(image_embedding(clip, pixels)), atol=1e-4)


@pytest.mark.parametrize(("name", "pooling"), [("compcars", "power"), ("compcars-attention", "attention")])
def test_cars_see_the_whole_image_between_blurred_bands(tmp_path: Path, name: str, pooling: Pooling) -> None:
    """Each way of asking the network has a name of its own."""
    torch.manual_seed(3)
    network = CompCars(CompCarsConfig("resnet18", pooling, classes=4)).eval()
    torch.save(network.state_dict(), tmp_path / "model.ep18")

    (bundle,) = import_checkpoint(name, tmp_path / "model.ep18", words=None, name="cars", out=tmp_path / "models")

    assert (bundle.image_preprocessing.resize, bundle.image_preprocessing.fill) == ("letterbox", "blur")
    with torch.inference_mode():
        pixels = resize(IMAGE, bundle.image_preprocessing)
        np.testing.assert_allclose(embedded(bundle, IMAGE), network(scaled(pixels, 0, 1))[0].numpy(), atol=1e-4)


def test_a_failure_leaves_neither_bundle(tmp_path: Path, pedestrians: Path, words: Path) -> None:
    """A damaged number in the text branch alone takes the finished image bundle with it."""
    content = torch.load(pedestrians)
    content["network_ema"]["module.conv_text.bias"][0] = torch.nan
    torch.save(content, pedestrians)

    with pytest.raises(BundleError, match="does not answer as torch does"):
        import_checkpoint("dcmpl", pedestrians, words=words, name="people", out=tmp_path / "models")

    assert list((tmp_path / "models").iterdir()) == []


def test_names_that_are_taken_are_refused_before_any_work(tmp_path: Path, pedestrians: Path, words: Path) -> None:
    """Also where only the sibling's is."""
    (tmp_path / "models" / "people-text").mkdir(parents=True)

    with pytest.raises(BundleError, match="people-text exists already"):
        import_checkpoint("dcmpl", pedestrians, words=words, name="people", out=tmp_path / "models")

    assert [path.name for path in (tmp_path / "models").iterdir()] == ["people-text"]


def test_words_of_another_checkpoint_are_refused(tmp_path: Path, pedestrians: Path, words: Path) -> None:
    """More words than the table has rows would fail on the first query; so would none."""
    many = tmp_path / "many.json"
    many.write_text(json.dumps({f"word{number}": number for number in range(40)}))

    def attempt(file: Path | None) -> None:
        import_checkpoint("dcmpl", pedestrians, words=file, name="people", out=tmp_path / "models")

    with pytest.raises(CheckpointError, match=r"many\.json needs 41 words, but .*99\.pth\.tar has 12"):
        attempt(many)
    with pytest.raises(CheckpointError, match="--words FILE"):
        attempt(None)
    with pytest.raises(CheckpointError, match=r"absent\.pkl cannot be read"):
        attempt(tmp_path / "absent.pkl")
    with pytest.raises(CheckpointError, match=r"99\.pth\.tar is not a plain dictionary"):
        attempt(pedestrians)


@pytest.mark.parametrize(
    ("network", "content", "complaint"),
    [
        ("dcmp", b"x", "There is no published network 'dcmp'; there are dcmpl,"),
        ("clip", b"<!DOCTYPE html>", "is a web page"),
        ("clip", b"something", "not a checkpoint of tensors"),
        ("compcars", b"", "is empty"),
    ],
)
def test_what_cannot_be_imported_is_one_line(
    tmp_path: Path, network: str, content: bytes, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is written, and nothing is said on stdout."""
    (tmp_path / "file.pt").write_bytes(content)

    with pytest.raises(SystemExit, match=complaint) as caught:
        main([network, str(tmp_path / "file.pt"), "--name", "mine", "--out", str(tmp_path / "models")])

    assert "\n" not in str(caught.value)
    assert capsys.readouterr().out == ""
    assert not (tmp_path / "models").exists()


def test_the_command_knows_every_name() -> None:
    """What `fovea models import` offers is what is read here."""
    assert tuple(READERS) == NETWORKS


def test_no_connection_is_reported_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line that says what else can be done."""
    for proxy in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(proxy, "http://127.0.0.1:9")

    with pytest.raises(SystemExit, match="fovea models import FILE --network clip") as caught:
        main(["clip", "--online", "--name", "clip", "--out", str(tmp_path / "models")])

    assert "\n" not in str(caught.value)
    assert not (tmp_path / "models").exists()
