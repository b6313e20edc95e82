"""The bundles that ship, through the code that serves them."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from encoders.bundle import Bundle
from encoders.images.resizing import resize
from encoders.serving.text import Tokenizer
from training.config import read_config
from training.embed import embed
from training.everyday_objects import EverydayObjects
from training.general.config import GeneralConfig
from training.general.system import GeneralSystem
from training.general.validation import leave_one_out
from training.joint_space.domains import held_out_domains
from training.joint_space.evaluate import InProcessAnswers
from training.joint_space.labels import own_classes
from training.joint_space.questions import likeness, sentences
from training.objects.config import ObjectsConfig
from training.objects.draw import draw_held_out
from training.objects.evaluate import ObjectsEvaluation
from training.runner import CONFIGS
from world.scene import draw_scene

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "models"
REALDATA = ROOT.parent / "shared" / "realdata"


@pytest.mark.parametrize("path", sorted(MODELS.glob("*/model.int8.onnx")), ids=lambda path: path.parent.name)
def test_int8_that_ships_overflows_nowhere(path: Path) -> None:
    """Its weights have seven bits, as its gate says."""
    graph = onnx.load(path).graph
    constants = {each.name: each for each in graph.initializer}
    dequantized = [node.input[0] for node in graph.node if node.op_type == "DequantizeLinear"]
    weights = [numpy_helper.to_array(constants[name]) for name in dequantized if name in constants]

    assert Bundle.load(path.parent).gate["int8"]["weight_bits"] == 7
    assert max(int(np.abs(each.astype(int)).max()) for each in weights if each.dtype == np.int8) <= 64


@pytest.mark.parametrize("name", ["general-2", "drawn-detector"])
def test_bundle_ships_whole(name: str) -> None:
    """A shipped bundle has the files it describes, at most 10 MB of them, and says where it comes from."""
    bundle = Bundle.load(ROOT / "models" / name)
    assert bundle.name == name
    assert sum(bundle.path_of(precision).stat().st_size for precision in bundle.precisions) <= 10_000_000
    assert "Marcus Klasson" in bundle.attribution
    assert "Alexey Grigorev" in bundle.attribution
    assert bundle.licence
    assert bundle.gate["inputs"] >= 300


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("general", ["EfficientNet-Lite2", "Yolo-Fastest", "all-MiniLM-L6-v2", "general-2", "Marcus Klasson"]),
        ("general-text", ["all-MiniLM-L6-v2", "tokenizer"]),
        ("general-sketch", ["DoodleNet", "all-MiniLM-L6-v2"]),
    ],
)
def test_bundles_of_published_weights_name_them(name: str, weights: list[str]) -> None:
    """What they are made of, with licences and hashes; no file is too large to be pushed, and all share a space."""
    bundle, notice = Bundle.load(MODELS / name), (MODELS / "NOTICE.md").read_text()

    assert all(each in bundle.attribution for each in weights)
    hashes = re.findall(r"SHA-256 ([0-9a-f]{64})", bundle.attribution)
    assert len(hashes) >= 2
    assert all(found in notice or found in (MODELS / "general-2" / "bundle.json").read_text() for found in hashes)
    assert all(bundle.path_of(precision).stat().st_size <= 45_000_000 for precision in bundle.precisions)
    assert bundle.space == Bundle.load(MODELS / "general").space
    assert bundle.is_default == (name == "general")


def test_models_are_small_enough_to_ship() -> None:
    """All together."""
    assert sum(path.stat().st_size for path in MODELS.rglob("*") if path.is_file()) <= 120_000_000


@pytest.mark.parametrize(
    "text", ["ein Hund auf einer Bank", "собака на скамейке", "un chien dans la rue avec une balle"]
)
def test_words_in_another_language_are_warned_of(text: str) -> None:
    """The tokenizer knows parts of any word, so nothing is refused; the warning says which language is read."""
    tokens = Tokenizer(Bundle.load(MODELS / "general-text")).encode(text)

    assert not tokens.refusal
    assert any("this model reads: en" in warning for warning in tokens.warnings)


@pytest.mark.realdata
@pytest.mark.skipif(not REALDATA.is_dir(), reason="needs the photos of ../shared/realdata")
def test_everyday_photos_are_found_by_likeness_and_words() -> None:
    """Photos that nothing was fitted to."""
    answers = InProcessAnswers(MODELS)
    everyday = next(each for each in held_out_domains(REALDATA, own_classes(REALDATA)) if each.name == "everyday")
    figures: dict[str, float] = {}
    for asked in (likeness(everyday), *sentences(everyday)):
        figures |= asked.figures(answers.scores(asked.gallery, asked.queries))

    assert figures["everyday_likeness_p1"] >= 0.78
    assert figures["everyday_names_p1"] >= 0.90
    assert figures["everyday_names_map"] >= 0.83


@pytest.mark.realdata
@pytest.mark.skipif(not REALDATA.is_dir(), reason="needs the photos of ../shared/realdata")
def test_general_2_finds_groceries(tmp_path: Path) -> None:
    """Of photos never trained on, 93 of 100 find another photo of the same product first."""
    system, config = GeneralSystem(), read_config(CONFIGS / "general.toml", GeneralConfig)
    system.draw_held_out(config, tmp_path, REALDATA)
    figures = system.evaluation(config, tmp_path).offline(ROOT / "models")

    assert figures["grocery_val_p1"] >= 0.93
    assert figures["grocery_val_map"] >= 0.75
    gate = Bundle.load(ROOT / "models" / "general-2").gate["fp32"]
    assert {name: gate[name] for name in figures} == pytest.approx(figures, abs=0.005)


def test_objects_are_found(tmp_path: Path) -> None:
    """In scenes never trained on the drawn detector's mAP50 is at least .80, and nine of ten objects find their like."""
    config = read_config(CONFIGS / "objects.toml", ObjectsConfig)
    draw_held_out(replace(config, world=replace(config.world, gallery=24, queries=20)), tmp_path)

    figures = ObjectsEvaluation.read(config.data, tmp_path).offline(ROOT / "models")

    assert figures["detector_map50"] >= 0.80
    assert figures["retrieval_r5"] >= 0.90
    assert figures["coverage"] >= 0.95


@pytest.mark.realdata
@pytest.mark.skipif(not REALDATA.is_dir(), reason="needs the photos of ../shared/realdata")
def test_everyday_kinds_are_found_in_photos() -> None:
    """Ranked by the score of a kind, everyday photos that show it come first, its boxes are right, and nine of ten photos have one."""
    figures = EverydayObjects.read(REALDATA).offline(ROOT / "models")

    assert figures["kinds_map"] >= 0.90
    assert figures["map50"] >= 0.71
    assert figures["coverage"] >= 0.90


def test_general_2_tells_drawn_objects_apart() -> None:
    """Most drawn objects, cut out by their boxes, find another one of their kind first."""
    bundle = Bundle.load(ROOT / "models" / "general-2")
    inputs, labels = [], []
    for number in range(20):
        scene = draw_scene(np.random.default_rng([32, number]), (480, 360))
        for item in scene.objects:
            x_min, y_min, x_max, y_max = np.asarray(item.box) * (scene.image.size * 2)
            crop = scene.image.crop((int(x_min), int(y_min), int(x_max), int(y_max)))
            inputs.append(resize(np.asarray(crop), bundle.image_preprocessing))
            labels.append(item.label)

    assert leave_one_out(embed(bundle, inputs), labels).recall(1) >= 0.80
