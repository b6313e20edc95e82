"""Decode images of many kinds, one after the other, and print for each what was expected and what it took at its peak."""

import io
import json
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from encoders.images.decoding import open_image
from tests.support.images import encoded, heic

SIDE_PX = 2000


def _saved(mode: str, file_format: str, **options: object) -> bytes:
    noise = Image.effect_noise((SIDE_PX, SIDE_PX), 40)
    image = (
        Image.fromarray(np.asarray(noise).astype(np.uint16)) if mode == "I;16" else noise.convert("RGB").convert(mode)
    )
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def _deep_png() -> bytes:
    """16 bits of RGBA."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = zlib.compress(bytes(SIDE_PX * (1 + 8 * SIDE_PX)), 1)
    header = struct.pack(">IIBBBBB", SIDE_PX, SIDE_PX, 16, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def _one_strip_tiff() -> bytes:
    return _saved("RGBA", "TIFF", compression="tiff_lzw", tiffinfo={278: SIDE_PX})


def _translucent_avif() -> bytes:
    image = Image.effect_noise((SIDE_PX, SIDE_PX), 40).convert("RGB")
    image.putalpha(128)
    return encoded(image, "AVIF", speed=10)


def _large_jpeg(width_px: int, height_px: int, **options: object) -> bytes:
    return encoded(Image.new("RGB", (width_px, height_px), "red"), "JPEG", **options)


def _peak_bytes(data: bytes, enough_px: tuple[int, int] | None) -> tuple[int, int]:
    opened = open_image(data)
    expected = opened.decode_bytes(enough_px=enough_px)
    Path("/proc/self/clear_refs").write_text("5")
    before = _resident("VmRSS")
    opened.decode(enough_px=enough_px)
    return expected, _resident("VmHWM") - before


def _resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(field)).split()[1])


def main() -> None:
    """Print a JSON object: kind to [expected, taken] bytes."""
    kinds: dict[str, tuple[bytes, tuple[int, int] | None]] = {
        "JPEG": (_saved("RGB", "JPEG"), None),
        "JPEG, small": (_saved("RGB", "JPEG"), (200, 200)),
        "JPEG, CMYK": (_saved("CMYK", "JPEG"), None),
        "JPEG, progressive": (_saved("RGB", "JPEG", progressive=True, subsampling=0), None),
        "JPEG, progressive, small": (_saved("RGB", "JPEG", progressive=True, subsampling=0), (200, 200)),
        "PNG": (_saved("RGB", "PNG", compress_level=1), None),
        "PNG, RGBA": (_saved("RGBA", "PNG", compress_level=1), None),
        "PNG, 16-bit RGBA": (_deep_png(), None),
        "PNG, 16-bit grey": (_saved("I;16", "PNG", compress_level=1), None),
        "PNG, palette": (_saved("P", "PNG"), None),
        "WebP": (_saved("RGB", "WEBP", quality=50), None),
        "WebP, RGBA": (_saved("RGBA", "WEBP", quality=50), None),
        "GIF": (_saved("P", "GIF"), None),
        "BMP": (_saved("RGB", "BMP"), None),
        "TIFF": (_saved("RGB", "TIFF"), None),
        "TIFF, one strip": (_one_strip_tiff(), None),
        "HEIC": (heic("large"), None),
        "HEIC, 10 bits, RGBA": (heic("large_deep"), None),
        "AVIF": (_saved("RGB", "AVIF", speed=10), None),
        "AVIF, no subsampling": (_saved("RGB", "AVIF", speed=10, subsampling="4:4:4"), None),
        "AVIF, RGBA": (_translucent_avif(), None),
        "JPEG, 108 megapixels": (_large_jpeg(12_000, 9_000), None),
        "JPEG, 54 megapixels, progressive": (_large_jpeg(9_000, 6_000, progressive=True, subsampling=0), (200, 200)),
    }
    json.dump({kind: _peak_bytes(*given) for kind, given in kinds.items()}, sys.stdout)


if __name__ == "__main__":
    main()
