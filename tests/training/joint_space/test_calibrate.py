from pathlib import Path

import numpy as np
import pytest

from domain.calibration import Calibration
from encoders.bundle import Bundle
from tests.support.bundles import tiny_image_bundle
from training.joint_space.calibrate import STRANGERS_SILENT, Asked, FirstHits, checked, fitted, write_calibrations


def gallery(seed: int) -> Asked:
    """Two hundred queries whose hits are right with the probability sigmoid(20 * score - 12), and strangers below .6."""
    rng, hits = np.random.default_rng(seed), list[FirstHits]()
    for _ in range(200):
        scores = np.sort(rng.uniform(0.3, 0.9, 20))[::-1]
        right = rng.random(20) < 1 / (1 + np.exp(12 - 20 * scores))
        hits += [FirstHits(scores, right, is_there=True)]
    hits.append(FirstHits(np.full(20, 0.2), np.zeros(20, bool), is_there=False))
    return Asked(hits, rng.uniform(0.2, 0.6, 1000))


def test_a_fit_finds_what_it_is_given() -> None:
    """The confidences of other photos are right, and nearly no stranger is answered."""
    calibration = fitted([gallery(1), gallery(2)])
    check = checked(calibration, gallery(3))

    assert calibration.intercept == pytest.approx(-12, abs=1.5)
    assert calibration.slope == pytest.approx(20, abs=2.5)
    assert calibration.lowest_score == pytest.approx(0.2 + 0.4 * STRANGERS_SILENT, abs=0.02)
    assert check.strangers_silent == pytest.approx(STRANGERS_SILENT, abs=0.03)
    assert check.error < 0.05
    assert sum(count for count, _, _ in check.bins) == 2010


def test_a_calibration_is_written_into_the_bundle(tmp_path: Path) -> None:
    """Nothing else of it changes."""
    before = tiny_image_bundle(tmp_path / "tiny")
    calibration = Calibration(-12.0, 20.0, 0.5)
    write_calibrations(tmp_path, {"tiny": calibration})
    after = Bundle.load(tmp_path / "tiny")

    assert after.calibration == calibration
    assert (after.space, after.precisions, after.purpose) == (before.space, before.precisions, before.purpose)
