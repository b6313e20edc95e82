import subprocess
import sys

DAMAGED = """
import io, logging, random, sys
from PIL import Image
from encoders.images.libtiff import silence_libtiff
if sys.argv[1] == "silent":
    silence_libtiff()
logging.disable()  # what Pillow itself says goes through the log
file = io.BytesIO()
Image.new("RGB", (64, 64), "red").save(file, "TIFF", compression="tiff_lzw")
random.seed(1)
for _ in range(100):
    damaged = bytearray(file.getvalue())
    for _ in range(4):
        damaged[random.randrange(8, len(damaged))] = random.randrange(256)
    try:
        Image.open(io.BytesIO(damaged)).load()
    except Exception:
        pass
"""


def test_damaged_tiffs_write_nothing_to_stderr() -> None:
    """A log of JSON lines stays one: without the call, libtiff writes lines of its own between them."""
    said = {
        mode: subprocess.run(
            [sys.executable, "-W", "ignore", "-c", DAMAGED, mode], check=True, capture_output=True, text=True
        ).stderr
        for mode in ("silent", "talking")
    }

    assert said["silent"] == ""
    assert "TIFF" in said["talking"]
