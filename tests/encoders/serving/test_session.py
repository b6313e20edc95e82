import dataclasses
import tracemalloc
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from encoders.bundle import Bundle, ModelFile
from encoders.errors import BundleError, ModelError
from encoders.serving.calibration import batch_sizes, best_batch, short_batch, smallest_of_the_best
from encoders.serving.providers import SessionOptions
from encoders.serving.session import DetectorSession, EmbeddingSession
from tests.support.bundles import OPSET, tiny_detector_bundle, tiny_image_bundle, tiny_text_bundle

ROOT = Path(__file__).parents[3]
CPU = SessionOptions(provider="cpu")


def images(count: int, side_px: int = 16) -> list[np.ndarray]:
    """Images of noise, each different."""
    return list(np.random.default_rng(3).integers(0, 256, (count, side_px, side_px, 3), dtype=np.uint8))


def replaced(bundle: Bundle, model: onnx.ModelProto) -> Bundle:
    """Puts another graph into a bundle, with its right digest."""
    path = bundle.path_of("fp32")
    path.write_bytes(model.SerializeToString())
    return dataclasses.replace(bundle, precisions={"fp32": ModelFile.of(path)})


def dividing_by_first_pixel() -> onnx.ModelProto:
    """An embedding model that gives NaN for images whose first pixels are black, and zeros for white ones."""
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["float"], ["flat"]),
        helper.make_node("Slice", ["flat", "start", "end", "axis"], ["first"]),
        helper.make_node("Sub", ["white", "first"], ["dark"]),
        helper.make_node("Div", ["dark", "first"], ["embedding"]),
    ]
    constants = [
        numpy_helper.from_array(np.asarray([0]), "start"),
        numpy_helper.from_array(np.asarray([16]), "end"),
        numpy_helper.from_array(np.asarray([1]), "axis"),
        numpy_helper.from_array(np.asarray(255, np.float32), "white"),
    ]
    graph = helper.make_graph(
        nodes,
        "dividing",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 16, 16, 3])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", 16])],
        constants,
    )
    return helper.make_model(graph, opset_imports=OPSET, ir_version=9)


def test_embeddings_have_unit_length_and_no_neighbours(tmp_path: Path) -> None:
    """An image's embedding does not depend on the other images of its batch."""
    session = EmbeddingSession(tiny_image_bundle(tmp_path), CPU)
    session.warm_up()
    items = images(7)

    together = session.run(items)
    alone = [session.run([item]).results[0] for item in items]

    assert together.infer_s > 0
    for embedding, single in zip(together.results, alone, strict=True):
        assert isinstance(embedding, np.ndarray)
        assert isinstance(single, np.ndarray)
        assert embedding.dtype == np.float32
        assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-6)
        assert np.allclose(embedding, single, atol=1e-6)


def test_texts_of_any_length_share_a_batch(tmp_path: Path) -> None:
    """Padding does not reach the embedding."""
    session = EmbeddingSession(tiny_text_bundle(tmp_path), CPU)
    short, long = np.asarray([1]), np.asarray([1, 2, 3, 4, 5])

    (padded, _), (alone,) = session.run([short, long]).results, session.run([short]).results

    assert isinstance(padded, np.ndarray)
    assert isinstance(alone, np.ndarray)
    assert np.allclose(padded, alone, atol=1e-6)


def test_embeddings_without_direction_are_errors_of_their_input(tmp_path: Path) -> None:
    """NaN, infinity and zero never leave the session, and neighbours are not touched."""
    session = EmbeddingSession(replaced(tiny_image_bundle(tmp_path), dividing_by_first_pixel()), CPU)
    black, white, good = (np.full((16, 16, 3), level, np.uint8) for level in (0, 255, 100))

    results = session.run([black, good, white, good]).results

    assert [isinstance(result, ModelError) for result in results] == [True, False, True, False]


def test_the_largest_batch_is_calibrated_set_or_fixed(tmp_path: Path) -> None:
    """Calibration chooses the largest batch unless the settings or the graph fix it."""
    free, fixed = tiny_image_bundle(tmp_path / "free"), tiny_image_bundle(tmp_path / "fixed", max_batch=1)
    sessions = [
        EmbeddingSession(free, CPU),
        EmbeddingSession(free, dataclasses.replace(CPU, max_batch=6)),
        EmbeddingSession(fixed, CPU),
        EmbeddingSession(fixed, dataclasses.replace(CPU, max_batch=6)),
    ]
    for session in sessions:
        session.warm_up()

    assert sessions[0].largest_batch in {1, 2, 4, 8, 16, 32}
    assert [session.largest_batch for session in sessions[1:]] == [6, 1, 1]


@pytest.mark.parametrize(
    ("durations_s", "short"),
    [
        ({1: 0.010, 2: 0.019, 4: 0.037, 8: 0.073}, 2),  # a CPU, where every further input takes its time
        ({1: 0.003, 2: 0.003, 4: 0.003, 16: 0.006, 64: 0.020}, 16),  # a GPU, where they are almost free
        ({1: 0.0005, 8: 0.003, 32: 0.009}, 32),  # nobody notices 10 ms
        ({1: 0.400, 2: 1.100}, 1),
        ({1: 5.0}, 1),
    ],
)
def test_the_short_batch_is_little_slower_than_one_input(durations_s: dict[int, float], short: int) -> None:
    """It is the largest that takes at most 10 ms or two and a half times as long as one input."""
    assert short_batch(durations_s) == short


def test_warming_up_chooses_a_short_batch(tmp_path: Path) -> None:
    """It is never larger than the largest, also where that is set by hand."""
    for max_batch in (0, 1, 3):
        session = EmbeddingSession(tiny_image_bundle(tmp_path), SessionOptions(provider="cpu", max_batch=max_batch))
        session.warm_up()
        assert 1 <= session.short_batch <= session.largest_batch


def test_calibration_chooses_the_smallest_of_the_best() -> None:
    """Larger batches that bring less than 3 % only make callers wait; each bucket is tried."""
    tried: list[int] = []

    assert best_batch(tried.append, 6) in {1, 2, 4, 6}
    assert set(tried) == {1, 2, 4, 6}
    assert smallest_of_the_best({1: 1.0, 2: 1.5, 4: 2.0, 8: 3.9}) == 4
    assert smallest_of_the_best({1: 1.0, 2: 1.99, 4: 3.98}) == 1
    assert [batch_sizes(largest) for largest in (1, 2, 6, 8)] == [[1], [1, 2], [1, 2, 4, 6], [1, 2, 4, 8]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dimension": 17}, "its bundle says"),
        ({"kind": "detector", "labels": ("red",)}, "outputs boxes, scores"),
    ],
)
def test_a_graph_that_contradicts_its_bundle_is_refused(tmp_path: Path, change: dict[str, object], words: str) -> None:
    """A model's inputs and outputs are checked before the first request."""
    bundle = dataclasses.replace(tiny_image_bundle(tmp_path), **change)  # type: ignore[arg-type]
    kind = DetectorSession if bundle.kind == "detector" else EmbeddingSession

    with pytest.raises(BundleError, match=words):
        kind(bundle, CPU).warm_up()


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    """A renamed web page is refused in one line."""
    bundle = tiny_image_bundle(tmp_path)
    bundle.path_of("fp32").write_text("<html>not found</html>")
    described = dataclasses.replace(bundle, precisions={"fp32": ModelFile.of(bundle.path_of("fp32"))})

    with pytest.raises(BundleError, match=r"model_fp32\.onnx is damaged"):
        EmbeddingSession(bundle, CPU)
    with pytest.raises(BundleError, match=r"model_fp32\.onnx cannot be loaded") as refused:
        EmbeddingSession(described, CPU)
    assert "\n" not in str(refused.value)


def test_weights_outside_of_the_model_file_are_refused(tmp_path: Path) -> None:
    """A graph cannot make the server read other files, not even of its own folder."""
    bundle = tiny_image_bundle(tmp_path)
    np.ones(16 * 13, dtype=np.float32).tofile(tmp_path / "weights.bin")
    model = onnx.load(bundle.path_of("fp32"))
    weights = next(tensor for tensor in model.graph.initializer if tensor.name == "projection")
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.append(onnx.StringStringEntryProto(key="location", value="weights.bin"))

    with pytest.raises(BundleError, match="External data"):
        EmbeddingSession(replaced(bundle, model), CPU)


def test_a_detector_has_raw_boxes_for_each_image(tmp_path: Path) -> None:
    """One result for each image of a batch."""
    session = DetectorSession(tiny_detector_bundle(tmp_path), CPU)
    session.warm_up()

    results = session.run(images(3, side_px=64)).results

    assert len(results) == 3
    for result in results:
        assert not isinstance(result, ModelError)
        assert (result.boxes.shape, result.scores.shape) == ((4, 4), (4, 4))


def test_a_gpu_that_is_not_there_is_said(tmp_path: Path) -> None:
    """Asking for CUDA where there is none is an error, `auto` takes the CPU."""
    session = EmbeddingSession(tiny_image_bundle(tmp_path), SessionOptions())
    if session.graph.provider != "CPUExecutionProvider":
        pytest.skip("this machine has a GPU")

    with pytest.raises(BundleError, match="CUDAExecutionProvider was asked for"):
        EmbeddingSession(tiny_image_bundle(tmp_path), SessionOptions(provider="cuda"))


def test_a_session_keeps_no_copy_of_its_file() -> None:
    """ONNX Runtime has the weights; the bytes that they were read from would double them."""
    bundle = Bundle.load(ROOT / "models" / "car")
    tracemalloc.start()
    try:
        session = EmbeddingSession(bundle, CPU)
        kept_bytes, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert session.graph.path.stat().st_size <= peak_bytes, "the file was read"
    assert kept_bytes < session.graph.path.stat().st_size / 4
