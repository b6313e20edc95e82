"""Batches of few sizes, each with a session that sees no other, tried on the CPU behind the code that a GPU uses."""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from encoders.bundle import ModelFile
from encoders.errors import ModelError
from encoders.serving.calibration import fixed_sizes, seconds_in_turn
from encoders.serving.cuda_libraries import missing_library
from encoders.serving.providers import CPU, CUDA, SessionOptions, default_precision, runtime_providers
from encoders.serving.session import DetectorSession, Embedding, EmbeddingSession, RawDetections
from tests.support.bundles import tiny_detector_bundle, tiny_image_bundle, tiny_text_bundle

ANY = SessionOptions(provider="cpu")
FIXED = SessionOptions(provider="cpu", fixed_sizes=True)
ARRIVALS = (1, 15, 1, 16, 3, 40, 1, 64, 2, 15, 8, 1)
CHANGE_S = 0.02


class NotingBinding(onnxruntime.IOBinding):  # type: ignore[misc]
    """Knows how many inputs its batch has."""

    batch = 0

    def bind_cpu_input(self, name: str, arr_on_cpu: Any) -> None:
        """Notes, and binds."""
        self.batch = len(arr_on_cpu)
        super().bind_cpu_input(name, arr_on_cpu)

    def bind_ortvalue_input(self, name: str, ortvalue: Any) -> None:
        """Notes, and binds."""
        self.batch = ortvalue.shape()[0]
        super().bind_ortvalue_input(name, ortvalue)


class PayingSession(onnxruntime.InferenceSession):  # type: ignore[misc]
    """A device that keeps the plan of one shape, as convolutions on CUDA do: each change costs, and is counted."""

    changes = 0
    last = 0

    def io_binding(self) -> NotingBinding:
        """A binding that notes its batch."""
        return NotingBinding(self)

    def run_with_iobinding(self, iobinding: Any, run_options: Any = None) -> None:
        """Pays for a new shape, and runs."""
        if self.last not in {0, iobinding.batch}:
            type(self).changes += 1
            time.sleep(CHANGE_S)
        self.last = iobinding.batch
        super().run_with_iobinding(iobinding, run_options)


@pytest.fixture
def paying(monkeypatch: pytest.MonkeyPatch) -> type[PayingSession]:
    """Every session pays for each change of shape."""
    monkeypatch.setattr(onnxruntime, "InferenceSession", PayingSession)
    monkeypatch.setattr(PayingSession, "changes", 0)
    return PayingSession


def images(count: int, side_px: int = 16) -> list[np.ndarray]:
    """Images of noise, each different."""
    return list(np.random.default_rng(count).integers(0, 256, (count, side_px, side_px, 3), dtype=np.uint8))


def numbers(results: Sequence[Embedding | RawDetections | ModelError]) -> np.ndarray:
    """Embeddings or boxes of a batch, none of which may have failed."""
    found = [
        np.hstack([result.boxes, result.scores]) if isinstance(result, RawDetections) else result for result in results
    ]
    return np.stack([array for array in found if not isinstance(array, ModelError)])


def arrivals(session: EmbeddingSession) -> Sequence[int]:
    """Batches as they come, none larger than is served."""
    return [min(count, session.largest_batch) for count in ARRIVALS]


def test_a_live_session_never_changes_its_shape(tmp_path: Path, paying: type[PayingSession]) -> None:
    """Whatever number of inputs waits: not while serving, and not while the sizes are tried."""
    session = EmbeddingSession(tiny_image_bundle(tmp_path), dataclasses.replace(FIXED, max_batch=64))
    session.warm_up()
    session.rehearse()
    for count in arrivals(session):
        assert len(session.run(images(count)).results) == count

    assert session.fixed_sizes == (1, 8, 32, 64)
    assert paying.changes == 0


def test_the_artificial_device_makes_any_size_pay(tmp_path: Path, paying: type[PayingSession]) -> None:
    """The same batches in one session, as on a CPU: each pays."""
    session = EmbeddingSession(tiny_image_bundle(tmp_path), dataclasses.replace(ANY, max_batch=64))
    session.warm_up()
    before = paying.changes
    for count in arrivals(session):
        session.run(images(count))

    assert paying.changes - before >= len(ARRIVALS) - 1


def test_filled_batches_change_no_result(tmp_path: Path) -> None:
    """Neither what fills a batch nor what an earlier one left behind reaches an embedding."""
    bundle = tiny_image_bundle(tmp_path)
    fixed, free = EmbeddingSession(bundle, dataclasses.replace(FIXED, max_batch=64)), EmbeddingSession(bundle, ANY)
    for session in (fixed, free):
        session.warm_up()

    for count in ARRIVALS:
        batch = images(count)
        found, expected = fixed.run(batch).results, free.run(batch).results
        assert np.allclose(numbers(found), numbers(expected), atol=1e-6)


def test_detectors_and_texts_run_in_fixed_sizes_too(tmp_path: Path) -> None:
    """The outputs of a detector and texts of any length come out as they do in any size."""
    detector, text = tiny_detector_bundle(tmp_path / "detector"), tiny_text_bundle(tmp_path / "text")
    boxes, words = images(3, side_px=64), [np.asarray([1]), np.asarray([1, 2, 3])]
    for kind, bundle, batch in ((DetectorSession, detector, boxes), (EmbeddingSession, text, words)):
        fixed, free = kind(bundle, dataclasses.replace(FIXED, max_batch=8)), kind(bundle, ANY)
        fixed.warm_up()
        free.warm_up()
        assert np.allclose(numbers(fixed.run(batch).results), numbers(free.run(batch).results), atol=1e-6)


@pytest.mark.parametrize("options", [ANY, FIXED])
def test_the_next_batch_leaves_the_results_of_the_last_one(tmp_path: Path, options: SessionOptions) -> None:
    """Callers read them while the model runs on."""
    session = DetectorSession(tiny_detector_bundle(tmp_path), dataclasses.replace(options, max_batch=8))
    session.warm_up()
    results = session.run(images(3, side_px=64)).results
    before = numbers(results)

    session.run(images(4, side_px=64))

    assert np.array_equal(numbers(results), before)


def test_only_the_sizes_that_are_served_keep_their_sessions(tmp_path: Path) -> None:
    """Calibration tries larger ones; their memory is given back."""
    session = EmbeddingSession(tiny_image_bundle(tmp_path), FIXED)
    session.warm_up()

    assert session.fixed_sizes[-1] == session.largest_batch
    assert set(session.graph.staged_sizes) == set(session.fixed_sizes)
    assert [fixed_sizes(largest) for largest in (1, 8, 20, 64)] == [[1], [1, 8], [1, 8, 20], [1, 8, 32, 64]]


def test_sizes_are_timed_in_turn() -> None:
    """A run that follows one of its own size tells nothing about batches as they come."""
    runs: list[int] = []

    def run(size: int) -> float:
        runs.append(size)
        return size / len(runs)

    seconds = seconds_in_turn(run, [1, 8])

    assert runs == [1, 8] * 4
    assert seconds == {1: 1 / 7, 8: 8 / 8}


def test_a_gpu_computes_at_half_precision_where_the_bundle_has_it(tmp_path: Path) -> None:
    """The gate has let it pass; a CPU gains nothing by it."""
    bundle = tiny_image_bundle(tmp_path)
    half = dataclasses.replace(bundle, precisions={**bundle.precisions, "fp16": ModelFile.of(bundle.path_of("fp32"))})

    assert [default_precision(half, provider) for provider in (CUDA, CPU)] == ["fp16", "fp32"]
    assert default_precision(bundle, CUDA) == "fp32"


def test_cuda_gets_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """Channels last, a search that costs little, arenas that do not double, and a graph where one is to be captured."""
    [(name, options), (last, _)] = runtime_providers(CUDA, SessionOptions(gpu_memory_mib=2), "fp16", cuda_graph=True)

    assert (name, last) == (CUDA, CPU)
    assert options == {
        "cudnn_conv_algo_search": "HEURISTIC",
        "arena_extend_strategy": "kSameAsRequested",
        "prefer_nhwc": "1",
        "enable_cuda_graph": "1",
        "gpu_mem_limit": 2 << 20,
    }


def test_the_missing_library_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """By the loader's own words, with nothing on stdout, where answers belong."""
    missing = missing_library(tmp_path)

    assert missing == str(tmp_path / "libonnxruntime_providers_shared.so")
    assert capfd.readouterr().out == ""


def test_a_session_that_fails_for_everything_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after CUDA's errors that stay: a blank input fails too."""
    session = EmbeddingSession(tiny_image_bundle(tmp_path), ANY)
    session.warm_up()
    assert session.works()

    def fail(*_: object) -> None:
        raise RuntimeError("CUDA failure 700: an illegal memory access was encountered")

    monkeypatch.setattr(onnxruntime.InferenceSession, "run_with_iobinding", fail)
    assert not session.works()
