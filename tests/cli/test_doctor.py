import json
from pathlib import Path

import pytest

from encoders.serving.cuda_libraries import missing_gpu
from encoders.serving.providers import CPU, CUDA
from testbed.servers import free_port
from tests.cli.running import fovea


def test_doctor_finds_this_machine_able(tmp_path: Path) -> None:
    """It starts the embedded stores, lists only providers that start a session, and looks at everything else."""
    done = fovea("doctor", "--port", 0, "--json", data=tmp_path / "data")

    found = {diagnosis["what"]: diagnosis["found"] for diagnosis in json.loads(done.stdout)}
    providers = found["ONNX Runtime"].partition(";")[0].split(", ")
    assert found["embedded stores"] == "Redis and Milvus start"
    assert "CPU" in providers
    assert Path("/dev/nvidiactl").exists() or providers == ["CPU"]


def test_doctor_names_the_driver_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `make venv-gpu` on a machine without a GPU the models run on the CPU, and somebody may wonder why."""
    if not (absent := missing_gpu()):
        pytest.skip("this machine has a GPU")
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: [CUDA, CPU])
    done = fovea("doctor", "--port", 0, "--json", data=tmp_path / "data")

    found = {diagnosis["what"]: diagnosis for diagnosis in json.loads(done.stdout)}
    assert done.exit_code == 0
    assert found["ONNX Runtime"]["verdict"] == "look"
    assert absent in found["ONNX Runtime"]["found"]


def test_doctor_names_what_is_wrong_with_the_stores(tmp_path: Path) -> None:
    """The output has the causes, and no password."""
    milvus, redis = f"http://u:s3cret@127.0.0.1:{free_port()}", f"redis://:s3cret@no-such-host.invalid:{free_port()}/0"
    done = fovea("doctor", "--port", 0, "--milvus", milvus, "--redis", redis, "--json", data=tmp_path / "data")
    assert done.exit_code != 0
    found = {diagnosis["what"]: diagnosis for diagnosis in json.loads(done.stdout)}
    assert found["Milvus"]["verdict"] == found["Redis"]["verdict"] == "wrong"
    assert "connection is refused" in found["Milvus"]["found"]
    assert "host name is unknown" in found["Redis"]["found"]
    assert "s3cret" not in done.stdout + done.stderr
