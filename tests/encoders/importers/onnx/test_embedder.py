from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from encoders.bundle import Bundle
from encoders.errors import BundleError
from encoders.importers.onnx.embedder import import_onnx
from encoders.importers.onnx.spec import ImageSpec
from encoders.serving.session import EmbeddingSession
from tests.support.networks import DIMENSION, SIZE, Ending, expected_embedding, tiny_network

IMAGES = np.random.default_rng(3).integers(0, 256, (3, SIZE[1], SIZE[0], 3), dtype=np.uint8)
CENTRED: dict[str, Any] = {"scale": 1 / 255, "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.25]}


def spec_of(**changes: Any) -> ImageSpec:
    return ImageSpec.of({"size": list(SIZE), "output": "vector_out", **changes})


def embed(bundle: Bundle, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    session = EmbeddingSession(bundle)
    session.warm_up()
    rows = [np.asarray(session.run([image]).results[0]) for image in images]
    if bundle.max_batch is None:
        together = np.stack([np.asarray(answer) for answer in session.run(list(images)).results])
        np.testing.assert_allclose(together, np.stack(rows), atol=1e-5)
    return np.stack(rows)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("color", ["RGB", "BGR", "GRAY"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
def test_preprocessing_is_inside_the_graph(tmp_path: Path, layout: str, color: str, dtype: str) -> None:
    """Raw pixels give what numpy gives for the prepared image, in every layout, colour order and type."""
    statistics: dict[str, Any] = {} if dtype == "uint8" else CENTRED
    if color == "GRAY" and statistics:
        statistics = {"scale": 1 / 255, "mean": 0.5, "std": 0.25}
    spec = spec_of(layout=layout, color=color, dtype=dtype, **statistics)

    bundle = import_onnx(tiny_network(tmp_path / "a.onnx", spec), name="a", spec=spec, out=tmp_path / "models")

    expected = [expected_embedding(image, spec) for image in IMAGES]
    np.testing.assert_allclose(embed(bundle, IMAGES), expected, atol=2e-3 if dtype == "float16" else 1e-5)


def test_uint8_network_gets_rounded_pixels(tmp_path: Path) -> None:
    """Where a uint8 network wants halved pixels, they are rounded and not cut."""
    spec = spec_of(dtype="uint8", scale=0.5)
    bundle = import_onnx(tiny_network(tmp_path / "a.onnx", spec), name="a", spec=spec, out=tmp_path)
    odd = np.full((1, SIZE[1], SIZE[0], 3), 255, np.uint8)
    odd[..., : SIZE[0] // 2, :] = 1  # becomes 1, where cutting would give 0

    by_hand = np.where(odd[0] == 255, 128, 1).astype(np.uint8)

    np.testing.assert_allclose(embed(bundle, odd)[0], expected_embedding(by_hand, spec_of()), atol=1e-5)


def test_bundle_carries_everything_about_the_model(tmp_path: Path) -> None:
    """The description holds the preprocessing, the labels, the licence and where the model came from."""
    spec = spec_of(resize="letterbox", fill=[1, 2, 3], modality="sketch")

    bundle = import_onnx(
        tiny_network(tmp_path / "mine.onnx", spec),
        name="mine",
        spec=spec,
        labels=["a", "b"],
        licence="CC0-1.0",
        attribution="somebody",
        out=tmp_path / "models",
    )

    assert bundle == Bundle.load(tmp_path / "models" / "mine")
    assert (bundle.kind, bundle.modalities, bundle.dimension) == ("sketch", ("sketch",), DIMENSION)
    assert bundle.preprocessing == spec.preprocessing
    assert (bundle.labels, bundle.licence, bundle.attribution) == (("a", "b"), "CC0-1.0", "somebody")
    assert bundle.gate["imported_from"] == "mine.onnx"
    assert len(bundle.space) == 16


def test_space_follows_model_and_preprocessing(tmp_path: Path) -> None:
    """The same model imported twice shares its space; another resize is another space."""
    spec, other = spec_of(), spec_of(resize="letterbox")
    path = tiny_network(tmp_path / "a.onnx", spec)

    bundles = [
        import_onnx(path, name=f"m{number}", spec=each, out=tmp_path) for number, each in enumerate((spec, spec, other))
    ]

    assert bundles[0].space == bundles[1].space != bundles[2].space


@pytest.mark.parametrize("ending", ["flatten", "reshape", "reshape with -1"])
@pytest.mark.parametrize("batch", [1, 4])
def test_fixed_batch_is_opened(tmp_path: Path, ending: Ending, batch: int) -> None:
    """A graph exported for a fixed number of images takes any number when its reshapes give way."""
    spec = spec_of()
    path = tiny_network(tmp_path / "a.onnx", spec, batch=batch, ending=ending)

    bundle = import_onnx(path, name="a", spec=spec, out=tmp_path)

    assert bundle.max_batch is None
    expected = [expected_embedding(image, spec) for image in IMAGES]
    np.testing.assert_allclose(embed(bundle, IMAGES), expected, atol=1e-5)


@pytest.mark.parametrize("ending", ["stubborn", "mixing"])
@pytest.mark.parametrize("batch", [1, "N"])
def test_batch_that_cannot_be_opened_stays_one(tmp_path: Path, ending: Ending, batch: int | str) -> None:
    """A graph that fails on three images, or mixes them, is served one image at a time and says so."""
    spec = spec_of()
    path = tiny_network(tmp_path / "a.onnx", spec, batch=batch, ending=ending)

    bundle = import_onnx(path, name="a", spec=spec, out=tmp_path)

    assert bundle.max_batch == 1
    expected = [expected_embedding(image, spec) for image in IMAGES]
    np.testing.assert_allclose(embed(bundle, IMAGES), expected, atol=1e-5)


def test_larger_batch_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    """A graph that runs four images and no other number is refused."""
    spec = spec_of()
    path = tiny_network(tmp_path / "a.onnx", spec, batch=4, ending="mixing")

    with pytest.raises(BundleError, match="exactly 4 inputs"):
        import_onnx(path, name="a", spec=spec, out=tmp_path)


def test_output_is_chosen_and_the_rest_removed(tmp_path: Path) -> None:
    """Of several outputs the named one stays, and what only the others need is removed."""
    spec = spec_of()
    path = tiny_network(tmp_path / "a.onnx", spec, extra_output=True)

    bundle = import_onnx(path, name="a", spec=spec, out=tmp_path)

    graph = onnx.load(bundle.path_of("fp32")).graph
    assert [output.name for output in graph.output] == ["embedding"]
    assert "network/classifier" not in {tensor.name for tensor in graph.initializer}


def test_output_may_lie_inside_the_graph(tmp_path: Path) -> None:
    """A tensor before the classifier can be the embedding, though it is not an output of the graph."""
    spec = spec_of(output="flat")

    bundle = import_onnx(tiny_network(tmp_path / "a.onnx", spec), name="a", spec=spec, out=tmp_path)

    assert bundle.dimension == 18


def test_embedding_has_a_largest_dimension(tmp_path: Path) -> None:
    """A flattened map is more than a vector store can hold: the sentence says what to name instead."""
    spec = ImageSpec(size=(192, 192), output="flat")
    model = onnx.load(tiny_network(tmp_path / "a.onnx", spec))
    flatten = next(node for node in model.graph.node if node.output[0] == "flat")
    flatten.input[0] = "nchw"
    onnx.save(model, tmp_path / "a.onnx")

    with pytest.raises(BundleError, match=r"110,592 numbers an input.*pooled"):
        import_onnx(tmp_path / "a.onnx", name="a", spec=spec, out=tmp_path)


def test_one_embedding_for_all_images_is_refused(tmp_path: Path) -> None:
    """A network whose output does not depend on its input is refused."""
    spec = spec_of()
    model = onnx.load(tiny_network(tmp_path / "a.onnx", spec))
    ignoring = numpy_helper.from_array(np.zeros((18, DIMENSION), np.float32), "projection")
    model.graph.initializer[0].CopyFrom(ignoring)
    bias = numpy_helper.from_array(np.arange(DIMENSION, dtype=np.float32), "bias")
    model.graph.initializer.append(bias)
    model.graph.node[-1].output[0] = "product"
    model.graph.node.append(helper.make_node("Add", ["product", "bias"], ["vector_out"]))
    onnx.save(model, tmp_path / "a.onnx")

    with pytest.raises(BundleError, match="one embedding for all of three different images"):
        import_onnx(tmp_path / "a.onnx", name="a", spec=spec, out=tmp_path)


@pytest.mark.parametrize("ir_version", [3, 8, 14, 99])
def test_file_format_is_the_one_that_the_operators_need(tmp_path: Path, ir_version: int) -> None:
    """A file of a newer IR version than ONNX Runtime reads is imported where its operators are known."""
    spec = spec_of()
    model = onnx.load(tiny_network(tmp_path / "a.onnx", spec))
    model.ir_version = ir_version
    (tmp_path / "a.onnx").write_bytes(model.SerializeToString())

    bundle = import_onnx(tmp_path / "a.onnx", name="a", spec=spec, out=tmp_path)

    np.testing.assert_allclose(embed(bundle, IMAGES)[0], expected_embedding(IMAGES[0], spec), atol=1e-5)


def test_unlikely_inputs_are_warned_of(tmp_path: Path) -> None:
    """ImageNet's mean and std without a scale make a bundle that carries the warning."""
    spec = spec_of(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])

    bundle = import_onnx(tiny_network(tmp_path / "a.onnx", spec), name="a", spec=spec, out=tmp_path)

    (warning,) = bundle.gate["warnings"]
    assert "1/255" in warning


def test_names_of_the_model_cannot_clash_with_ours(tmp_path: Path) -> None:
    """A model with tensors and nodes of our names is imported too."""
    spec = spec_of(input="embedding", output="image")
    model = onnx.load(tiny_network(tmp_path / "a.onnx", spec_of()))
    model.graph.input[0].name = model.graph.node[0].input[0] = "embedding"
    model.graph.output[0].name = model.graph.node[-1].output[0] = "image"
    model.graph.node[0].name, model.graph.node[-1].name = "embedding", "fovea/flat"
    onnx.save(model, tmp_path / "b.onnx")

    bundle = import_onnx(tmp_path / "b.onnx", name="b", spec=spec, out=tmp_path)

    np.testing.assert_allclose(embed(bundle, IMAGES)[0], expected_embedding(IMAGES[0], spec), atol=1e-5)


def test_black_image_has_no_nan(tmp_path: Path) -> None:
    """An output of zeros is not divided by its length."""
    spec = spec_of()
    bundle = import_onnx(tiny_network(tmp_path / "a.onnx", spec), name="a", spec=spec, out=tmp_path)

    session = EmbeddingSession(bundle)
    outputs, _ = session.graph.compute({"image": np.zeros((1, SIZE[1], SIZE[0], 3), np.uint8)})

    assert not outputs[0].any()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"output": "logitz"}, "no output 'logitz'; its outputs are vector_out, logits"),
        ({"output": ""}, "must name the embedding's output"),
        ({"input": "images"}, "no input 'images'; its inputs are pixels_in"),
        ({"dtype": "float16"}, "dtype is float16, but the model's input pixels_in is float"),
        ({"layout": "NHWC"}, "model's is \\?x3x8x12"),
        ({"size": [8, 12]}, "model's is \\?x3x8x12"),
        ({"color": "GRAY"}, "model's is \\?x3x8x12"),
    ],
)
def test_spec_that_is_not_true_to_the_graph_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    """A spec and a graph that disagree give one line with what the graph has, and no bundle."""
    path = tiny_network(tmp_path / "a.onnx", spec_of(), extra_output=True)

    with pytest.raises(BundleError, match=words):
        import_onnx(path, name="a", spec=spec_of(**changes), out=tmp_path / "models")

    assert not (tmp_path / "models").exists() or not list((tmp_path / "models").iterdir())


def test_bundle_is_never_overwritten(tmp_path: Path) -> None:
    """A second import under a name that is taken is refused and changes nothing."""
    spec = spec_of()
    path = tiny_network(tmp_path / "a.onnx", spec)
    first = import_onnx(path, name="a", spec=spec, out=tmp_path)

    with pytest.raises(BundleError, match="exists already"):
        import_onnx(path, name="a", spec=spec_of(resize="letterbox"), out=tmp_path)

    assert Bundle.load(tmp_path / "a") == first


def test_name_must_be_a_bundle_name(tmp_path: Path) -> None:
    """A name cannot lead out of the models folder."""
    spec = spec_of()
    path = tiny_network(tmp_path / "a.onnx", spec)

    with pytest.raises(BundleError, match="name must be"):
        import_onnx(path, name="../evil", spec=spec, out=tmp_path / "models")

    assert not list((tmp_path / "models").iterdir())
