"""An importer for a process of its own, that ends in every way that one can."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from encoders.errors import BundleError
from encoders.importers.publish import new_folder


def crash(how: str, *, out: Path, name: str) -> str:
    """Begin a bundle, then refuse it, kill the process, write a large file, or finish."""
    with new_folder(out, name) as folder:
        (folder / "model.onnx").write_bytes(b"half")
        if how == "refuse":
            raise BundleError("No such thing.")
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "fill":
            (folder / "model.onnx").write_bytes(bytes(2 << 20))
    return name


def hang(note: Path, *, out: Path, name: str) -> None:
    """Begin a bundle, start a process, write its id and this process's scratch file into `note`, and never end."""
    with new_folder(out, name), tempfile.NamedTemporaryFile() as scratch:
        child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
        note.with_suffix(".new").write_text(f"{child.pid} {scratch.name}")
        note.with_suffix(".new").rename(note)
        time.sleep(600)
