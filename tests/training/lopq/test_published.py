from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training.lopq.fit import Learnt, LopqConfig, fit
from training.lopq.model import LopqModel
from training.lopq.published import read_published, write_published

CONFIG = LopqConfig(dimension=8, clusters=3, parts=4, centroids=5, seed=1)
POINTS = np.random.default_rng(0).normal(size=(200, 12)).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> LopqModel:
    return fit(POINTS, CONFIG)


def test_a_model_survives_the_published_file(model: LopqModel, tmp_path: Path) -> None:
    """What it codes is projected beforehand then, because the file has no projection; the codes are the same."""
    write_published(model, tmp_path / "model.lopq")
    projected = model.project(POINTS).reshape(len(POINTS), 8)
    again = fit(projected, CONFIG, read_published(tmp_path / "model.lopq"))

    np.testing.assert_array_equal(again.encode(projected).coarse, model.encode(POINTS).coarse)
    np.testing.assert_array_equal(again.encode(projected).fine, model.encode(POINTS).fine)


def test_the_file_is_the_published_message(tmp_path: Path) -> None:
    """Byte for byte what the format says of D, V, M, S, two centroids, two rotations, two means and two parts."""
    one = np.ones((2, 1, 1), np.float32)
    tiny = LopqModel(
        mean=np.zeros(2, np.float32),
        projection=np.eye(2, dtype=np.float32),
        centroids=one,
        residual_means=2 * one,
        rotations=3 * one[..., None],
        parts=4 * one[..., None],
    )
    write_published(tiny, tmp_path / "tiny.lopq")

    def packed(number: float) -> bytes:
        return b"\x0a\x04" + np.float32(number).tobytes()

    def field(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2, len(content)]) + content

    shape = b"\x10\x01\x10\x01"
    expected = b"\x08\x02\x10\x01\x18\x02\x20\x01"
    expected += 2 * field(5, packed(1) + shape) + 2 * field(6, packed(3) + shape)
    expected += 2 * field(7, packed(2)) + 2 * field(8, packed(4) + shape)
    assert (tmp_path / "tiny.lopq").read_bytes() == expected


def test_a_part_of_a_model_is_learnt_to_the_end(model: LopqModel, tmp_path: Path) -> None:
    """A published file may hold centroids alone: they stay, and the rest is learnt around them."""
    write_published(model, tmp_path / "whole.lopq")
    centroids = replace(read_published(tmp_path / "whole.lopq"), frames=None, parts=None)
    projected = model.project(POINTS).reshape(len(POINTS), 8)
    finished = fit(projected, CONFIG, centroids)

    np.testing.assert_array_equal(finished.centroids, model.centroids)
    np.testing.assert_allclose(finished.residual_means, model.residual_means, atol=1e-5)


@pytest.mark.parametrize("content", [b"\xff\xff\xff", b"PK\x03\x04 something else entirely"])
def test_another_file_is_refused(content: bytes, tmp_path: Path) -> None:
    """By its name, before anything is made of it."""
    (tmp_path / "other.lopq").write_bytes(content)
    with pytest.raises(ValueError, match=r"other\.lopq is not a LOPQModelParams"):
        read_published(tmp_path / "other.lopq")


def test_a_shape_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    """Two values cannot fill one row of one."""
    (tmp_path / "odd.lopq").write_bytes(b"\x2a\x0e\x0a\x08" + bytes(8) + b"\x10\x01\x10\x01")
    with pytest.raises(ValueError, match=r"odd\.lopq holds arrays that do not fit together"):
        read_published(tmp_path / "odd.lopq")


def test_kept_steps_must_have_the_sizes_that_are_asked_for(model: LopqModel) -> None:
    """An array that does not fit the kept ones is named with both shapes."""
    with pytest.raises(ValueError, match=r"is \(2, 4, 4\), and \(2, 3, 4\) would fit"):
        fit(POINTS, replace(CONFIG, clusters=4), Learnt(centroids=model.centroids))
