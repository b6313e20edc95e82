import struct
from pathlib import Path

import numpy as np
import pytest

from encoders.errors import BundleError
from encoders.importers.darknet.cfg import parse_cfg
from encoders.importers.darknet.weights import float_count, read_weights

NETWORK = parse_cfg(
    "[net]\nwidth=8\nheight=8\nchannels=2\n"
    "[convolutional]\nfilters=4\nsize=3\npad=1\ngroups=2\nbatch_normalize=1\nactivation=leaky\n"
    "[maxpool]\nsize=2\nstride=2\n"
    "[convolutional]\nfilters=3\nsize=1\nactivation=linear\n"
)
FIRST, SECOND = 4 * 4 + 4 * 1 * 9, 3 + 3 * 4
FLOATS = np.arange(FIRST + SECOND, dtype="<f4")


def write(path: Path, floats: bytes, version: tuple[int, int, int] = (0, 2, 0)) -> Path:
    is_long = version[0] * 10 + version[1] >= 2 and version[0] < 1000 and version[1] < 1000
    path.write_bytes(struct.pack("<iii", *version) + struct.pack("<Q" if is_long else "<I", 32_013_312) + floats)
    return path


@pytest.mark.parametrize("version", [(0, 1, 0), (0, 2, 0), (0, 2, 5), (1, 0, 0), (1001, 0, 0)])
def test_floats_go_where_darknet_puts_them(tmp_path: Path, version: tuple[int, int, int]) -> None:
    """Bias, scale, mean and variance come before a kernel; the counter of old and new headers is skipped."""
    weights = read_weights(write(tmp_path / "w", FLOATS.tobytes(), version), NETWORK)

    norm, bias, kernel = weights[0].batch_norm, weights[0].bias, weights[0].kernel
    assert norm is not None
    assert [part.tolist() for part in (bias, norm.scale, norm.mean, norm.variance)] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9, 10, 11],
        [12, 13, 14, 15],
    ]
    assert kernel.shape == (4, 1, 3, 3)
    assert kernel.ravel().tolist() == list(range(16, FIRST))
    assert weights[2].bias.tolist() == [FIRST, FIRST + 1, FIRST + 2]
    assert weights[2].kernel.shape == (3, 4, 1, 1)


@pytest.mark.parametrize(
    ("floats", "words"),
    [
        (FLOATS[:-7].tobytes(), "60 floats, but this .cfg needs 67: 7 are missing"),
        (np.append(FLOATS, FLOATS[:5]).tobytes(), "72 floats.*67: 5 are left over"),
        (FLOATS.tobytes() + b"abc", "67 floats and 3 odd bytes.*0 are left over"),
        (b"", "0 floats.*67 are missing"),
    ],
)
def test_other_count_of_floats_is_named(tmp_path: Path, floats: bytes, words: str) -> None:
    """A file that is too short or too long says by how much."""
    with pytest.raises(BundleError, match=words):
        read_weights(write(tmp_path / "w", floats), NETWORK)


def test_backbone_is_read_only_when_asked_for(tmp_path: Path) -> None:
    """A file that stops at a layer is enough for the layers before it, and refused for all layers."""
    path = write(tmp_path / "backbone", FLOATS[:FIRST].tobytes())

    assert list(read_weights(path, NETWORK, cutoff=1)) == [0]
    assert float_count(NETWORK, cutoff=1) == FIRST
    with pytest.raises(BundleError, match="are missing"):
        read_weights(path, NETWORK)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"<!DOCTYPE html>", "web page"),
        (b"\0" * 8, "too short"),
        (struct.pack("<iii", -1, 2, 0), "not a Darknet weights"),
    ],
)
def test_impostor_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    """Something else under the name of weights gives one line."""
    path = tmp_path / "w.weights"
    path.write_bytes(content)

    with pytest.raises(BundleError, match=words):
        read_weights(path, NETWORK)
