from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision import models

from encoders.errors import BundleError
from encoders.images.decoding import decode
from encoders.images.resizing import resize
from encoders.importers.onnx.spec import ImageSpec
from encoders.importers.torch_models import import_torchvision
from encoders.serving.session import EmbeddingSession
from tests.support.images import corners, encoded
from training.checkpoints.tensors import CheckpointError
from training.torchvision_export import export_network, main, remove_head

NETWORK = "resnet18"


def random_network(name: str = NETWORK) -> nn.Module:
    """A network whose normalisations have seen a few images, so that its vectors do not vanish."""
    torch.manual_seed(0)
    network: nn.Module = models.get_model(name, weights=None).train()
    with torch.no_grad():
        network(torch.randn(8, 3, 64, 64))
    return network.eval()


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return random_network()


@pytest.fixture
def state(network: nn.Module) -> dict[str, Any]:
    return dict(network.state_dict())


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def test_imported_network_embeds_as_torchvision_does(tmp_path: Path, network: nn.Module, state: dict[str, Any]) -> None:
    """Resize, crop, normalisation and network together give the vector that torch computes before the classifier."""
    weights = saved(tmp_path / "mine.pth", state)

    bundle = import_torchvision(NETWORK, weights=weights, name="mine", out=tmp_path / "models")

    assert (bundle.dimension, bundle.max_batch) == (512, None)
    assert bundle.preprocessing is not None
    assert (bundle.preprocessing.size, bundle.preprocessing.shorter_side_px) == ((224, 224), 256)
    image = corners((400, 300))
    embedding = EmbeddingSession(bundle).run([resize(decode(encoded(image)).pixels, bundle.preprocessing)]).results[0]
    cosine = np.asarray(embedding) @ _embedding(network, image)
    assert cosine > 0.999


@pytest.mark.parametrize("wrapper", ["plain", "state_dict", "parallel", "without counters", "other classes"])
def test_checkpoints_are_read_as_people_save_them(tmp_path: Path, state: dict[str, Any], wrapper: str) -> None:
    """A wrapped state dict, one of parallel training, an old one and one of other classes all fit."""
    contents: dict[str, Any] = {
        "plain": state,
        "state_dict": {"epoch": 3, "state_dict": state},
        "parallel": {f"module.{key}": value for key, value in state.items()},
        "without counters": {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")},
        "other classes": {**state, "fc.weight": torch.zeros(7, 512), "fc.bias": torch.zeros(7)},
    }
    out = tmp_path / "out.onnx"

    export_network(NETWORK, saved(tmp_path / "a.pt", contents[wrapper]), out)

    spec = ImageSpec.read(out.with_suffix(".json"))
    assert (spec.resize, spec.output, spec.scale) == ("shortest_crop", "embedding", 1 / 255)


def test_report_names_what_does_not_fit(tmp_path: Path, state: dict[str, Any]) -> None:
    """Missing, unexpected and misshapen keys are all named at once."""
    del state["layer1.0.conv1.weight"]
    state["extra"] = torch.zeros(1)
    state["bn1.weight"] = torch.zeros(3)

    with pytest.raises(
        CheckpointError, match=r"1 missing: layer1\.0\.conv1\.weight; 1 extra: extra; 1 misshapen: bn1\.weight"
    ):
        export_network(NETWORK, saved(tmp_path / "a.pt", state), tmp_path / "out.onnx")

    assert not (tmp_path / "out.onnx").exists()


class Payload:
    """An object that would run code when it is unpickled without care."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("this must not be run",)


def test_pickled_code_is_never_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A checkpoint that holds more than tensors is refused unread."""
    with pytest.raises(CheckpointError, match="nothing else is loaded"):
        export_network(NETWORK, saved(tmp_path / "a.pt", {"state_dict": Payload()}), tmp_path / "out.onnx")

    assert "must not be run" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"<!DOCTYPE html>", "web page"),
        (b"", "is empty"),
        (b"hello world", "not a checkpoint"),
    ],
)
def test_impostor_gets_one_line(tmp_path: Path, content: bytes, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The command says in one line what is wrong with a file and leaves with code 1."""
    path = tmp_path / "weights.pt"
    path.write_bytes(content)

    with pytest.raises(SystemExit, match=words) as caught:
        main([NETWORK, "--weights", str(path), "--out", str(tmp_path / "out.onnx")])

    assert "\n" not in str(caught.value)


def test_truncated_checkpoint_is_refused(tmp_path: Path, state: dict[str, Any]) -> None:
    """A download that stopped half way is refused."""
    path = saved(tmp_path / "a.pt", state)
    path.write_bytes(path.read_bytes()[:-5000])

    with pytest.raises(CheckpointError, match="cut short"):
        export_network(NETWORK, path, tmp_path / "out.onnx")


@pytest.mark.parametrize("name", ["no_such_network", "googlenet", "../resnet18", "fasterrcnn_resnet50_fpn"])
def test_unknown_network_is_refused(tmp_path: Path, name: str) -> None:
    """A name that torchvision does not know, or a network that does not classify alone, gives one line."""
    with pytest.raises(BundleError, match="no classification network"):
        export_network(name, tmp_path / "a.pt", tmp_path / "out.onnx")


def test_download_without_a_network_prints_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a connection the sentence says what to do instead."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for proxy in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(proxy, "http://127.0.0.1:9")

    with pytest.raises(BundleError, match=r"could not be downloaded.*--weights") as caught:
        import_torchvision(NETWORK, weights=None, name="a", out=tmp_path / "models")

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "head", "dimension"),
    [
        ("resnet50", "fc", 2048),
        ("mobilenet_v2", "classifier.1", 1280),
        ("mobilenet_v3_small", "classifier.3", 1024),
        ("efficientnet_b0", "classifier.1", 1280),
        ("convnext_tiny", "classifier.2", 768),
        ("vit_b_16", "heads.head", 768),
        ("swin_t", "head", 768),
        ("densenet121", "classifier", 1024),
        ("vgg11", "classifier.6", 4096),
    ],
)
def test_classifier_is_found_in_every_family(name: str, head: str, dimension: int) -> None:
    """What is left of a network ends before its last linear layer."""
    with torch.device("meta"):
        network = models.get_model(name, weights=None).eval()
        found = remove_head(network)
        embedding = network(torch.zeros(1, 3, 224, 224))

    assert found == head
    assert embedding.flatten(1).shape == (1, dimension)


def test_network_without_linear_classifier_is_refused() -> None:
    """SqueezeNet ends in a convolution: there is nothing to take off."""
    with pytest.raises(BundleError, match="SqueezeNet does not end in a linear classifier"):
        remove_head(models.get_model("squeezenet1_1", weights=None))


def _embedding(network: nn.Module, image: Image.Image) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The unit vector before the classifier, by torchvision's own transforms."""
    taken: list[torch.Tensor] = []
    hook = network.get_submodule("fc").register_forward_pre_hook(lambda _module, inputs: taken.append(inputs[0]))
    with torch.no_grad():
        network(models.ResNet18_Weights.DEFAULT.transforms()(image)[None])
    hook.remove()
    embedding = taken[0][0].numpy()
    unit: np.ndarray[Any, np.dtype[np.float32]] = embedding / np.linalg.norm(embedding)
    return unit
