"""The photos that are measured with: real ones where they are at hand, drawn ones elsewhere."""

import subprocess
import sys
from pathlib import Path

from benchmarks.servers import ROOT

_REAL = ROOT.parent / "shared" / "realdata" / "grocery" / "train"


def photos(count: int, folder: Path) -> list[Path]:
    """`count` different image files; drawn ones are written below `folder`."""
    real = sorted(_REAL.rglob("*.jpg"))[:count]
    if len(real) == count:
        return real
    drawing = [sys.executable, "-m", "world.gallery", "--out", str(folder), "--count", str(count)]
    subprocess.run(drawing, cwd=ROOT, check=True)
    return sorted(folder.glob("*.jpg"))
