"""An importer for a process of its own, that ends in every way that one can."""

import os
import signal
from pathlib import Path

from encoders.errors import BundleError
from encoders.importers.publish import new_folder


def crash(how: str, *, out: Path, name: str) -> str:
    """Begin a bundle, then refuse it, kill the process, or finish."""
    with new_folder(out, name) as folder:
        (folder / "model.onnx").write_bytes(b"half")
        if how == "refuse":
            raise BundleError("No such thing.")
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
    return name
