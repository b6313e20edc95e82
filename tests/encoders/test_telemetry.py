"""ONNX Runtime reports nothing to its makers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("module", ["services.encoder.__main__", "cli.commands.models"])
def test_nothing_is_collected(module: str, tmp_path: Path) -> None:
    """The import of the runtime leaves no id and no event in the home folder."""
    inherited = {
        name: value for name, value in os.environ.items() if name not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    }
    command = [sys.executable, "-c", f"import sys, {module}; assert 'onnxruntime' in sys.modules"]

    subprocess.run(command, check=True, env=inherited | {"HOME": str(tmp_path)}, timeout=60)

    assert list(tmp_path.rglob("*")) == []
