import hashlib
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from cli.download import WebFile
from cli.main import app
from cli.recipe import PairRecipe, find_recipe, recipe_names
from encoders.bundle import Bundle
from encoders.importers.onnx.spec import ImageSpec
from encoders.importers.onnx.text_spec import PairSpec
from tests.cli.running import answer, fovea
from tests.support.bundles import tiny_detector_bundle, tiny_image_bundle
from tests.support.darknet import write_network
from tests.support.networks import SIZE, tiny_network
from tests.support.token_networks import token_network, word_tokenizer
from training.models.dcmpl import Dcmpl, DcmplConfig


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with two tiny bundles."""
    tiny_image_bundle(tmp_path / "tiny")
    tiny_detector_bundle(tmp_path / "tiny_detector")
    return tmp_path


def test_list_shows_bundles_of_a_named_folder(models: Path) -> None:
    """A folder of bundles and a bundle's own folder are both accepted."""
    listed = {row["name"]: row for row in answer("models", "list", "--models", models)}
    alone = {row["name"] for row in answer("models", "list", "--models", models / "tiny")}

    assert (listed["tiny"]["dimension"], listed["tiny_detector"]["labels"]) == (16, 4)
    assert "tiny" in alone
    assert "tiny_detector" not in alone


def test_list_says_what_bundles_are_for_and_shows_defaults_first(tmp_path: Path) -> None:
    """Of two bundles that say that they are the default the first by name is; the shipped ones name one of each kind."""
    tiny_image_bundle(tmp_path / "aa", "aa")
    tiny_image_bundle(tmp_path / "b", "b", is_default=True, purpose="Finds colours.", domain="blocks")
    listed = answer("models", "list", "--models", tmp_path)

    assert [row["name"] for row in listed[:3]] == ["b", "detector", "aa"]
    assert [row["name"] for row in listed if row["is_default"]] == ["b", "detector"]
    assert (listed[0]["purpose"], listed[0]["domain"], listed[0]["licence"]) == (
        "Finds colours.",
        "blocks",
        "Apache-2.0",
    )
    shipped = answer("models", "list")
    assert [row["name"] for row in shipped if row["is_default"]] == ["general", "detector"]
    assert all(row["purpose"] and row["domain"] for row in shipped)


def test_verify_names_the_damaged_file(models: Path) -> None:
    """One changed byte fails the verification with the file's name."""
    model = next((models / "tiny").glob("*.onnx"))
    model.write_bytes(model.read_bytes()[:-1] + b"x")

    done = fovea("models", "verify", models / "tiny", models / "tiny_detector")

    assert done.exit_code == 1
    assert model.name in done.stdout
    assert "whole" in done.stdout


def test_two_bundles_of_one_name_are_refused(models: Path, tmp_path: Path) -> None:
    """A name stands for one bundle only."""
    tiny_image_bundle(tmp_path / "again" / "tiny")

    done = fovea("models", "list", "--models", models, "--models", tmp_path / "again")

    assert done.exit_code == 1
    assert "two bundles are called tiny" in done.stderr


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("model.onnx", "--spec"),
        ("yolo.weights", "--cfg"),
        ("resnet18.pth", "fovea models import resnet18 --weights"),
        ("99.pth.tar", "--network dcmpl|"),
        ("notes.txt", "neither .onnx nor Darknet .weights"),
    ],
)
def test_import_says_what_is_missing(tmp_path: Path, source: str, complaint: str) -> None:
    """An import that lacks something costs one line that names it."""
    (tmp_path / source).write_text("something")

    done = fovea("models", "import", tmp_path / source, "--name", "mine", "--out", tmp_path)

    assert done.exit_code == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert complaint in done.stderr


def test_a_web_page_is_no_model(tmp_path: Path) -> None:
    """A download that went wrong is recognised."""
    (tmp_path / "model.onnx").write_text("<!DOCTYPE html><html></html>")
    (tmp_path / "spec.json").write_text('{"size": [8, 8]}')

    done = fovea(
        "models",
        "import",
        tmp_path / "model.onnx",
        "--name",
        "mine",
        "--spec",
        tmp_path / "spec.json",
        "--out",
        tmp_path,
    )

    assert done.exit_code == 1
    assert "is a web page" in done.stderr


def test_import_shows_what_is_unlikely(tmp_path: Path) -> None:
    """Statistics of pixels from 0 to 1 without a scale are warned of, for people and for programs."""
    spec = ImageSpec.of({"size": list(SIZE), "output": "vector_out", "mean": 0.485, "std": 0.229})
    model = tiny_network(tmp_path / "tiny.onnx", spec)
    (tmp_path / "spec.json").write_text(json.dumps(spec.as_json()))
    command = ("models", "import", model, "--spec", tmp_path / "spec.json", "--out", tmp_path / "models", "--name")

    shown = fovea(*command, "first")

    assert "Warning: The spec makes inputs of -2.118 to 1111" in shown.stderr
    assert "1/255" in answer(*command, "second")["warnings"][0]


@pytest.mark.parametrize(("flag", "resize"), [("--letterbox", "letterbox"), ("--no-letterbox", "squash")])
def test_import_resizes_as_darknet_does(tmp_path: Path, flag: str, resize: str) -> None:
    """A flag chooses where the .cfg says nothing, or something else."""
    net = f"[net]\nwidth=8\nheight=8\nletter_box={int(resize == 'squash')}\n"
    head = "[convolutional]\nfilters=6\nsize=1\nactivation=linear\n[yolo]\nanchors=2,3\nclasses=1\n"
    cfg, weights, _ = write_network(tmp_path, net + head)
    (tmp_path / "names").write_text("thing\n")

    imported = answer(
        *("models", "import", weights, "--cfg", cfg, "--labels", tmp_path / "names"),
        *("--name", "mine", "--out", tmp_path / "models", flag),
    )

    assert Bundle.load(Path(imported["folder"])).image_preprocessing.resize == resize


def pair_spec(folder: Path) -> Path:
    """The spec of the pair that `write_pair` writes."""
    image = ImageSpec.of({"size": list(SIZE), "output": "vector_out"}).as_json()
    path = folder / "pair.json"
    path.write_text(json.dumps({"image": image, "text": {"pooling": "mean"}}))
    return path


def write_pair(folder: Path) -> tuple[Path, Path]:
    """An image and a text model with the same dimension, and `tokenizer.json` beside them."""
    word_tokenizer(folder)
    image = tiny_network(folder / "image.onnx", ImageSpec.of({"size": list(SIZE), "output": "vector_out"}))
    return image, token_network(folder / "text.onnx")


def test_a_pair_becomes_two_bundles_of_one_space(tmp_path: Path) -> None:
    """The tokenizer is found beside the text model, and half precision is written on request."""
    image, text = write_pair(tmp_path)
    command = ("models", "import", "--pair", image, text, "--spec", pair_spec(tmp_path), "--out", tmp_path / "models")

    imported = answer(*command, "--name", "mine", "--fp16")

    (texts,) = imported["siblings"]
    assert (imported["name"], texts["name"], texts["modalities"]) == ("mine", "mine-text", "text")
    assert imported["space"] == texts["space"]
    assert set(Bundle.load(Path(texts["folder"])).precisions) == {"fp32", "fp16"}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--pair", "image.onnx", "text.onnx"), "needs its spec: give --spec"),
        (("image.onnx", "--pair", "image.onnx", "text.onnx"), "give one SOURCE, or"),
        ((), "give one SOURCE, or"),
        (("image.onnx", "--spec", "pair.json"), "give both with --pair IMAGE TEXT"),
        (("--pair", "image.onnx", "text.onnx", "--spec", "pair.json", "--tokenizer", "no.json"), "does not exist"),
        (("image.onnx", "--spec", "detector.json"), "give --labels FILE"),
        (("resnet18", "--fp16"), "--fp16 is for ONNX models"),
    ],
)
def test_a_pair_or_a_detector_that_lacks_something_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], complaint: str
) -> None:
    """What is missing is named, and nothing is left behind."""
    monkeypatch.chdir(tmp_path)
    write_pair(tmp_path)
    pair_spec(tmp_path)
    (tmp_path / "detector.json").write_text('{"image": {"size": [8, 8]}, "detector": {"head": "dense"}}')

    done = fovea("models", "import", *arguments, "--name", "mine", "--out", tmp_path / "models")

    assert done.exit_code == 1
    assert complaint in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "models").exists()


@pytest.fixture
def file_host(tmp_path: Path) -> Iterator[str]:
    """The address of a web server on this machine that offers the files of `tmp_path/host`."""
    (tmp_path / "host").mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "host"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_checkpoint_is_pulled_from_an_address(tmp_path: Path, file_host: str) -> None:
    """Images and words become two bundles that share a space; the file itself does not stay."""
    network = Dcmpl(DcmplConfig(vocabulary_size=9, word_dimension=4, hidden=4, dimension=6, width=0.125))
    checkpoint, words = tmp_path / "host" / "99.pth.tar", tmp_path / "words.json"
    torch.save({"network": network.state_dict()}, checkpoint)
    words.write_text('{"man": 0, "coat": 1}')
    sha256 = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    pull = ("models", "pull", f"{file_host}/99.pth.tar", "--network", "dcmpl", "--words", words, "--name", "people")
    out = tmp_path / "models"

    pulled = answer(*pull, "--sha256", sha256.upper(), "--out", out)

    (texts,) = pulled["siblings"]
    assert (pulled["name"], pulled["modalities"], texts["name"], texts["modalities"]) == (
        "people",
        "image",
        "people-text",
        "text",
    )
    assert pulled["space"] == texts["space"]
    assert sorted(path.name for path in out.iterdir()) == ["people", "people-text"]


def write_recipe(folder: Path, host: str, **changes: object) -> Path:
    """A recipe of the pair that a web server on this machine offers."""
    files = {
        key: {
            "url": f"{host}/{path.name}",
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "bytes": path.stat().st_size,
        }
        for key, path in zip(("image", "text"), write_pair(folder / "host"), strict=True)
    }
    tokenizer = folder / "host" / "tokenizer.json"
    files["tokenizer"] = {
        "url": f"{host}/{tokenizer.name}",
        "sha256": hashlib.sha256(tokenizer.read_bytes()).hexdigest(),
        "bytes": tokenizer.stat().st_size,
    }
    recipe = {"licence": "MIT", "languages": ["en"], "files": files, "spec": json.loads(pair_spec(folder).read_text())}
    path = folder / "recipe.json"
    path.write_text(json.dumps({**recipe, **changes}))
    return path


def test_a_pair_is_pulled_by_its_recipe(tmp_path: Path, file_host: str) -> None:
    """The files of a recipe are fetched, checked and imported; only the bundles stay."""
    recipe, out = write_recipe(tmp_path, file_host), tmp_path / "models"

    pulled = answer("models", "pull", recipe, "--name", "mine", "--out", out)

    assert (pulled["name"], pulled["licence"], pulled["siblings"][0]["name"]) == ("mine", "MIT", "mine-text")
    assert Bundle.load(out / "mine-text").languages == ("en",)
    assert sorted(path.name for path in out.iterdir()) == ["mine", "mine-text"]


def test_a_file_that_differs_from_its_recipe_is_not_read(tmp_path: Path, file_host: str) -> None:
    """A file that was changed at its address costs one line, and nothing is imported."""
    recipe = write_recipe(tmp_path, file_host)
    (tmp_path / "host" / "text.onnx").write_bytes(b"changed")

    done = fovea("models", "pull", recipe, "--name", "mine", "--out", tmp_path / "models")

    assert done.exit_code == 1
    assert "text.onnx is another file: its SHA-256 is" in done.stderr
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"files": {}}, "is not a recipe: files.image: Field required"),
        ({"weights": 1}, "is not a recipe: weights"),
        ({"spec": {}}, 'The spec of a pair needs "image"'),
    ],
)
def test_a_broken_recipe_is_one_line(
    tmp_path: Path, file_host: str, changes: dict[str, object], complaint: str
) -> None:
    """A recipe is checked before anything is fetched."""
    done = fovea("models", "pull", write_recipe(tmp_path, file_host, **changes), "--name", "mine", "--out", tmp_path)

    assert done.exit_code == 1
    assert complaint in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("name", recipe_names())
def test_recipes_that_ship_can_be_read(name: str) -> None:
    """Their addresses name a revision, and their specs are valid."""
    path = find_recipe(name)
    assert path is not None
    recipe = PairRecipe.read(path)

    PairSpec.of(recipe.spec)
    assert recipe.licence
    for file in (recipe.files.image, recipe.files.text, recipe.files.tokenizer):
        assert WebFile(file.url, file.sha256).url.startswith("https://")
        assert "/main/" not in file.url


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("clip-vit-b-32",), "cannot be fetched"),
        (("recipe.json",), "give --name"),
        (("recipe.json", "--name", "a"), "recipe.json does not exist"),
        (("yolov3",), "cannot be fetched"),
        (("https://weights.example/a.onnx", "--name", "a", "--sha256", "0" * 64), "cannot be fetched"),
        (("https://weights.example/a.onnx",), "give --name"),
        (("https://weights.example/a.onnx", "--name", "a"), "needs --sha256"),
        (("yolov3", "--sha256", "0" * 64), "is for addresses"),
    ],
)
def test_what_cannot_be_pulled_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], complaint: str
) -> None:
    """Without a connection it says so at once, and leaves nothing."""
    for proxy in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(proxy, "http://127.0.0.1:9")

    done = CliRunner().invoke(app, ["models", "pull", *arguments, "--out", str(tmp_path / "models")])

    assert done.exit_code == 1
    assert complaint in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "models").exists()
