"""The images, built without a network and run as a hardened cluster runs them."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import numpy as np
import pytest

from fovea.oip.v2 import open_inference_pb2, open_inference_pb2_grpc
from tests.deploy.podman import IMAGES, Podman, eventually_in
from tests.support.processes import REPOSITORY

pytestmark = pytest.mark.deploy

_LIMITS_MB = {"encoder-cpu": 450, "search": 300, "ingest": 300, "gateway": 300, "bundles": 120}
# As strict as Kubernetes's restricted profile, with any user and without a place to write to.
_HARDENED = (
    "--user=4242:4242",
    "--unsetenv=HOME",
    "--read-only",
    "--read-only-tmpfs=false",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
    "--memory=700m",
    "--pids-limit=256",
)
_BUNDLE = next(
    file.parent
    for file in sorted((REPOSITORY / "models").glob("*/bundle.json"))
    if json.loads(file.read_text())["kind"] == "image"
)


@contextmanager
def _encoder(podman: Podman) -> Iterator[tuple[str, str]]:
    """The name of a container that encodes, and where it listens."""
    settings = "--env", 'FOVEA_ENCODER_BUNDLES=["/bundle"]', "--env", "FOVEA_TRUSTED_NETWORK=true"
    mount = "--volume", f"{_BUNDLE}:/bundle:ro"
    name = podman.run("run", "--detach", *_HARDENED, *mount, *settings, "fovea/encoder-cpu")
    try:
        eventually_in(podman, name, '"model ready"')
        yield name, f"{podman.address(name)}:50061"
    finally:
        podman.run("rm", "--force", "--time", "1", name)


@pytest.mark.parametrize("target", IMAGES)
def test_image_is_small(podman: Podman, target: str) -> None:
    """Neither torch nor tests are in it, and the bundles have an image of their own."""
    assert podman.size_mb(f"fovea/{target}") < _LIMITS_MB[target]


@pytest.mark.parametrize("target", ["encoder-cpu", "search", "ingest", "gateway"])
def test_image_holds_only_what_serves(podman: Podman, target: str) -> None:
    """A process needs no tests, no models and no package manager of Python."""
    look = "import os, json; print(json.dumps(os.listdir('/opt/fovea')))"
    held = json.loads(podman.run("run", "--rm", "--entrypoint=python3", f"fovea/{target}", "-c", look))

    assert not {"models", "pip", "pytest", "tests", "torch", "training"} & set(held)


def test_hardened_encoder_answers_and_drains(podman: Podman) -> None:
    """It runs as any user on a read-only root, within its memory, and refuses calls that it will not answer."""
    with (
        _encoder(podman) as (name, address),
        grpc.insecure_channel(address) as channel,
        ThreadPoolExecutor() as threads,
    ):
        stub = open_inference_pb2_grpc.GRPCInferenceServiceStub(channel)
        stub.ModelInfer(_image(), timeout=30)
        calling = [threads.submit(_code_at_the_end, stub) for _ in range(4)]
        podman.run("stop", "--time", "20", name)

        assert {call.result() for call in calling} == {grpc.StatusCode.UNAVAILABLE}
        assert podman.run("inspect", name, "--format", "{{.State.ExitCode}} {{.State.OOMKilled}}") == "0 false"


def _code_at_the_end(stub: open_inference_pb2_grpc.GRPCInferenceServiceStub) -> grpc.StatusCode:
    """Calls without a pause; the code of the first call that was not answered."""
    while True:
        try:
            stub.ModelInfer(_image(), timeout=30)
        except grpc.RpcError as error:
            return error.code()


def _image() -> open_inference_pb2.ModelInferRequest:
    """An image that is resized already, in the shape that the bundle wants."""
    width, height = json.loads((_BUNDLE / "bundle.json").read_text())["preprocessing"]["size"]
    image = np.zeros((1, height, width, 3), np.uint8)
    request = open_inference_pb2.ModelInferRequest(model_name=_BUNDLE.name, raw_input_contents=[image.tobytes()])
    request.inputs.add(name="image", datatype="UINT8", shape=image.shape)
    return request
