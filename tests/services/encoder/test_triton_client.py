"""Triton's own Python client against the encoder, in a process of its own."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from rpc.server import ThreadServer

ROOT = Path(__file__).parents[3]
PYTHON = ROOT / ".venv" / "peers" / "tritonclient" / "bin" / "python"


def test_tritons_client_lists_checks_and_infers(server: ThreadServer) -> None:
    """A client that knows only the Open Inference Protocol uses every call it has for inference and metadata."""
    if not PYTHON.exists() and not os.environ.get("CI"):
        pytest.skip(f"Triton's client has no environment; `make peers-triton` makes {PYTHON.parents[1]}")
    script = ROOT / "tests" / "support" / "triton_check.py"

    checked = subprocess.run(
        [PYTHON, script, f"127.0.0.1:{server.port}"], capture_output=True, text=True, timeout=60, check=False
    )

    assert checked.returncode == 0, checked.stderr
    assert json.loads(checked.stdout) == {
        "live": True,
        "ready": True,
        "unknown": False,
        "server": "fovea",
        "inputs": ["image"],
        "batch": 64,
        "dims": [16],
        "models": ["tiny", "tiny_detector", "tiny_text"],
        "pixels": [1.0, 1.0, 1.0],
        "floats": [1.0, 1.0, 1.0],
        "words": [1.0, 1.0],
        "later": [2, 16],
        "streamed": ["True", "failed", "True"],
        "analyzed": [32, 32, 32],
        "objects": ["red"],
        "counted": 2,
        "refused": "StatusCode.NOT_FOUND",
    }
