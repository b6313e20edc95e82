from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from encoders.bundle import Bundle
from encoders.errors import BundleError
from encoders.importers.onnx.embedder import import_onnx
from encoders.importers.onnx.spec import ImageSpec
from encoders.serving.session import EmbeddingSession

Floats = NDArray[np.float64]

SIDE_PX = 4
VALUES = 3 * SIDE_PX * SIDE_PX
IMAGES = np.random.default_rng(3).integers(0, 256, (3, SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
_COMPUTE: dict[str, Callable[[Floats, tuple[int, ...]], Floats]] = {
    "cls": lambda rows, _: rows[:, 0],
    "mean": lambda rows, axes: np.mean(rows, axis=axes),
    "max": lambda rows, axes: np.max(rows, axis=axes),
}


def network(path: Path, shape: tuple[int, ...], *, opset: int, layout: str = "NCHW", batch: Any = "N") -> Path:
    """A network that gives its input's values in this shape, the first axis its images."""
    image = [3, SIDE_PX, SIDE_PX] if layout == "NCHW" else [SIDE_PX, SIDE_PX, 3]
    target = numpy_helper.from_array(np.array(shape, np.int64), "target")
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["pixels_in", "target"], ["out"])],
        "shaped",
        [helper.make_tensor_value_info("pixels_in", TensorProto.FLOAT, [batch, *image])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        [target],
    )
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", opset)]), path)
    return path


def embed(bundle: Bundle) -> NDArray[np.float32]:
    session = EmbeddingSession(bundle)
    session.warm_up()
    return np.stack([np.asarray(answer) for answer in session.run(list(IMAGES)).results])


@pytest.mark.parametrize("opset", [13, 18])
@pytest.mark.parametrize(
    ("shape", "layout", "pooling", "axes"),
    [
        ((0, 8, 6), "NCHW", "cls", (1,)),
        ((0, 8, 6), "NHWC", "mean", (1,)),
        ((0, 8, 6), "NCHW", "max", (1,)),
        ((0, 6, 4, 2), "NCHW", "mean", (2, 3)),
        ((0, 6, 4, 2), "NCHW", "max", (2, 3)),
        ((0, 4, 2, 6), "NHWC", "mean", (1, 2)),
    ],
)
def test_tokens_and_maps_are_pooled_as_the_spec_says(
    tmp_path: Path, *, shape: tuple[int, ...], layout: str, pooling: str, axes: tuple[int, ...], opset: int
) -> None:
    """What numpy makes of the tokens or the map is what the bundle gives, of unit length, for a batch of any size."""
    spec = ImageSpec.of({"size": [SIDE_PX] * 2, "layout": layout, "scale": 1 / 255, "mean": 0.5, "pooling": pooling})
    model = network(tmp_path / "a.onnx", shape, opset=opset, layout=layout)

    bundle = import_onnx(model, name="a", spec=spec, out=tmp_path)

    inputs = IMAGES / 255 - 0.5
    values = (inputs.transpose(0, 3, 1, 2) if layout == "NCHW" else inputs).reshape(len(IMAGES), *shape[1:])
    expected = _COMPUTE[pooling](values, axes)
    assert (bundle.dimension, bundle.max_batch) == (6, None)
    np.testing.assert_allclose(embed(bundle), expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "skipped", "words"),
    [((0, 8, 6), 8, "skip_tokens of 8 leaves no token"), ((0, 6, 4, 2), 1, "skip_tokens of 1 leaves no token")],
)
def test_tokens_that_are_skipped_must_be_there(
    tmp_path: Path, shape: tuple[int, ...], skipped: int, words: str
) -> None:
    """A map has no tokens, and something must be left to pool."""
    spec = ImageSpec(size=(SIDE_PX, SIDE_PX), pooling="mean", skip_tokens=skipped)

    with pytest.raises(BundleError, match=words):
        import_onnx(network(tmp_path / "a.onnx", shape, opset=13), name="a", spec=spec, out=tmp_path / "models")


@pytest.mark.parametrize("shape", [(0, VALUES), (0, VALUES, 1, 1), (0, 1, VALUES), (0, 1, 1, VALUES)])
def test_one_axis_is_an_embedding(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """An output with a single axis that is not 1, such as that of global pooling, needs no pooling in the spec."""
    spec = ImageSpec(size=(SIDE_PX, SIDE_PX))

    bundle = import_onnx(network(tmp_path / "a.onnx", shape, opset=13), name="a", spec=spec, out=tmp_path)

    assert bundle.dimension == VALUES


@pytest.mark.parametrize(
    ("shape", "pooling", "words"),
    [
        ((0, 8, 6), None, 'out is 1 x 8 x 6, not one embedding.*"pooling" of cls or mean or max'),
        ((0, 6, 4, 2), None, 'out is 1 x 6 x 4 x 2, not one embedding.*"pooling" of mean or max'),
        ((0, 2, 2, 3, 4), None, r"not one embedding an image: name a tensor.*\(N, D\)"),
        ((0, 6, 4, 2), "cls", '"pooling": "cls" does not fit.*mean or max'),
        ((0, VALUES), "mean", '"pooling": "mean" does not fit: leave it out'),
        ((0, 2, 2, 3, 4), "max", r'"pooling": "max" does not fit: name a tensor'),
        ((8, 6), None, "out is 8 x 6 for 1 images: name an output whose first axis counts the images"),
    ],
)
def test_other_outputs_are_refused_with_what_to_do(
    tmp_path: Path, shape: tuple[int, ...], pooling: str | None, words: str
) -> None:
    """Detector heads, tokens and maps are refused unless the spec says how to pool them."""
    spec = ImageSpec.of({"size": [SIDE_PX] * 2} | ({"pooling": pooling} if pooling else {}))

    with pytest.raises(BundleError, match=words):
        import_onnx(network(tmp_path / "a.onnx", shape, opset=13), name="a", spec=spec, out=tmp_path / "models")

    assert not (tmp_path / "models").exists()
