import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from encoders.bundle import DESCRIPTION_FILE, Bundle, ModelFile, Preprocessing, Tower, space_of
from encoders.errors import BundleError
from tests.support.bundles import tiny_detector_bundle, tiny_image_bundle, tiny_text_bundle


def test_bundles_survive_the_disk(tmp_path: Path) -> None:
    """What is written is what is loaded, for every kind."""
    for bundle in (
        tiny_image_bundle(tmp_path / "image"),
        tiny_text_bundle(tmp_path / "text"),
        tiny_detector_bundle(tmp_path / "detector"),
    ):
        assert Bundle.load(bundle.folder) == bundle


def test_a_bundle_says_what_it_is_for(tmp_path: Path) -> None:
    """Purpose, domain, languages and default survive the disk; a description from before they existed has none."""
    described: dict[str, Any] = {
        "purpose": "Finds things.",
        "domain": "photos",
        "languages": ("de", "pt-BR"),
        "is_default": True,
    }
    bundle = tiny_detector_bundle(tmp_path, **described)
    assert Bundle.load(tmp_path) == bundle

    path = tmp_path / DESCRIPTION_FILE
    path.write_text(
        json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key not in described})
    )

    older = Bundle.load(tmp_path)
    assert (older.purpose, older.domain, older.languages, older.is_default) == ("", "", (), False)


@pytest.mark.parametrize("position", [0, 1000, -1])
def test_a_changed_byte_is_refused_by_name(tmp_path: Path, position: int) -> None:
    """A bundle with any byte changed does not load, and the error names the file."""
    bundle = tiny_image_bundle(tmp_path)
    path = bundle.path_of("fp32")
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)

    with pytest.raises(BundleError, match=r"model_fp32\.onnx is damaged"):
        Bundle.load(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """Every file of the bundle must be there, the tokenizer included."""
    bundle = tiny_text_bundle(tmp_path)
    (tmp_path / "tokenizer.json").unlink()

    with pytest.raises(BundleError, match=r"tokenizer\.json cannot be read"):
        Bundle.load(tmp_path)
    with pytest.raises(BundleError, match=r"tokenizer\.json is missing"):
        bundle.write(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dimension": "many"}, "dimension"),
        ({"colour": "red"}, "colour"),
        ({"kind": "video"}, "kind"),
        ({"preprocessing": None}, "preprocessing"),
        ({"space": ""}, "a space"),
        ({"precisions": {}}, "no model file"),
        ({"precisions": {"fp32": {"file": "../secret", "sha256": ""}}}, "plain name"),
        ({"name": "a/b"}, "name"),
        ({"modalities": ["text"]}, "text bundle"),
        ({"max_batch": 0}, "max_batch"),
        ({"max_overlap": 0.0}, "max_overlap"),
        ({"max_overlap": 1.5}, "max_overlap"),
        ({"purpose": "x" * 201}, "purpose"),
        ({"domain": "two\nlines"}, "domain"),
        ({"languages": ["English, mostly"]}, "languages"),
        ({"languages": ["en"] * 201}, "languages"),
        ({"is_default": "perhaps"}, "is_default"),
        ({"kind": "sketch", "modalities": ["sketch"], "is_default": True}, "can be the default"),
    ],
)
def test_a_bad_description_says_what_is_wrong(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    """Each mistake in bundle.json is answered with the file and the field."""
    tiny_image_bundle(tmp_path)
    path = tmp_path / DESCRIPTION_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))

    with pytest.raises(BundleError, match=words) as refused:
        Bundle.load(tmp_path)

    assert str(path) in str(refused.value)


def test_a_folder_without_a_bundle_is_named(tmp_path: Path) -> None:
    """A wrong folder or a text that is not JSON is named in one line."""
    with pytest.raises(BundleError, match="cannot be read"):
        Bundle.load(tmp_path / "nowhere")
    (tmp_path / DESCRIPTION_FILE).write_text("<html>")
    with pytest.raises(BundleError, match="not a bundle's description"):
        Bundle.load(tmp_path)


def test_a_space_is_decided_by_all_that_decides_embeddings() -> None:
    """Towers in any order share a space; other weights, preprocessing or dimension make another."""
    image, text = Tower("aa", Preprocessing(size=(8, 8))), Tower("bb", tokenizer_sha256="cc")
    space = space_of(16, image, text)

    assert space == space_of(16, text, image)
    assert len(space) == 16
    others = {
        space_of(32, image, text),
        space_of(16, image),
        space_of(16, dataclasses.replace(image, model_sha256="ab"), text),
        space_of(16, dataclasses.replace(image, preprocessing=Preprocessing(size=(8, 9))), text),
        space_of(16, image, dataclasses.replace(text, tokenizer_sha256="cd")),
    }
    assert len({space, *others}) == 6


def test_blurred_bands_survive_the_disk(tmp_path: Path) -> None:
    """A letterbox is filled with a colour or with the word blur; only a letterbox can be."""
    letterbox = Preprocessing(size=(8, 8), resize="letterbox", fill="blur")
    bundle = dataclasses.replace(tiny_image_bundle(tmp_path), preprocessing=letterbox)

    bundle.write(tmp_path)

    assert Bundle.load(tmp_path).preprocessing == letterbox
    with pytest.raises(BundleError, match="Only a letterbox"):
        Preprocessing(size=(8, 8), fill="blur")


def test_shipped_spaces_stay_what_they_are() -> None:
    """A space is written into every collection, so its name must never change for the same towers."""
    tower = Tower("aa", Preprocessing(size=(8, 8), resize="letterbox", fill=(1, 2, 3)))

    assert space_of(16, tower) == "70e77e64ddf0a163"


def test_an_unknown_precision_lists_the_known(tmp_path: Path) -> None:
    """Asking for a precision that is not there names those that are."""
    with pytest.raises(BundleError, match="only fp32"):
        tiny_image_bundle(tmp_path).path_of("int8")


def test_model_files_are_described_as_they_are(tmp_path: Path) -> None:
    """A file is described by its name and the digest of its bytes."""
    (tmp_path / "model.onnx").write_bytes(b"abc")

    described = ModelFile.of(tmp_path / "model.onnx")

    assert described.file == "model.onnx"
    assert described.sha256.startswith("ba7816bf")
