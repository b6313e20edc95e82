"""Colour profiles made for tests, by the ICC's own layout: RGB spaces from their primaries, grey, and a press."""

import itertools
import struct

import numpy as np

D50 = (0.9642, 1.0, 0.8249)
DISPLAY_P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
PROPHOTO = ((0.79767, 0.28804, 0.0), (0.13519, 0.71188, 0.0), (0.03134, 0.00009, 0.82489))
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
"""XYZ of the red, green and blue primary, adapted to D50."""


def rgb_profile(primaries: tuple[tuple[float, float, float], ...], gamma: float) -> bytes:
    """A matrix profile whose three channels have one gamma."""
    tags = {b"wtpt": _xyz(D50)}
    for channel, primary in zip((b"r", b"g", b"b"), primaries, strict=True):
        tags |= {channel + b"XYZ": _xyz(primary), channel + b"TRC": _gamma(gamma)}
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags)


def grey_profile(gamma: float) -> bytes:
    """A profile of one channel."""
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"wtpt": _xyz(D50), b"kTRC": _gamma(gamma)})


def press_profile(inks_lab: dict[tuple[int, ...], tuple[float, float, float]]) -> bytes:
    """A CMYK profile from the Lab colour of each of the 16 combinations of full inks, keyed by (C, M, Y, K) of 0 or 1."""
    ramp = bytes(range(256))
    corners = b"".join(_lab8(inks_lab[inks]) for inks in itertools.product((0, 1), repeat=4))
    identity = struct.pack(">9i", *(np.eye(3, dtype=int) << 16).ravel().tolist())
    table = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + identity + ramp * 4 + corners + ramp * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"wtpt": _xyz(D50), b"A2B0": table})


def _lab8(lab: tuple[float, float, float]) -> bytes:
    return bytes((round(lab[0] * 2.55), round(lab[1] + 128), round(lab[2] + 128)))


def _xyz(value: tuple[float, float, float]) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(each * 65536) for each in value))


def _gamma(value: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(value * 256)) + b"\0\0"


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78)
    tags = {b"desc": text, **tags}
    offset, directory, body = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, value in tags.items():
        padded = value + bytes(-len(value) % 4)
        directory += name + struct.pack(">II", offset + len(body), len(value))
        body += padded
    header = struct.pack(">I4xI", offset + len(body), 0x02400000) + kind + space + connection
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return header + bytes(128 - len(header)) + directory + body
