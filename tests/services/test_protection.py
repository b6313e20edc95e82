import os
import subprocess
import sys

import pytest

from tests.support.processes import REPOSITORY

_PROCESSES = {
    "services.encoder": ("FOVEA_ENCODER_ADDRESS", "0.0.0.0:0"),
    "services.search": ("FOVEA_SEARCH_ADDRESS", "[::]:0"),
    "services.ingest": ("FOVEA_INGEST_ADDRESS", "10.0.0.1:0"),
    "gateway": ("FOVEA_GATEWAY_HOST", "gateway.example"),
}


@pytest.mark.parametrize("module", _PROCESSES)
def test_a_process_does_not_open_an_unprotected_port_to_others(module: str) -> None:
    """One line says which variable opens it and what to do; with several fronts too."""
    variable, address = _PROCESSES[module]
    environment = {"FOVEA_ENCODER_BUNDLES": '["nowhere"]', "FOVEA_ENCODER_FRONTS": "2", variable: address}
    command = [sys.executable, "-P", "-m", module]
    done = subprocess.run(
        command,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr.startswith(f"{variable}: other machines can call ")
    assert "FOVEA_TRUSTED_NETWORK=true" in done.stderr
    assert done.stderr.count("\n") == 1
