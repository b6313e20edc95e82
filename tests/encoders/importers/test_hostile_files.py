from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from encoders.errors import BundleError
from encoders.importers import model_file
from encoders.importers.model_file import read_labels, read_model_file
from encoders.importers.onnx.embedder import import_onnx
from encoders.importers.onnx.file import read_onnx
from encoders.importers.onnx.spec import ImageSpec
from tests.support.networks import SIZE, tiny_network

SPEC = ImageSpec(size=SIZE, output="vector_out")
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 13969584\n"
WEB_PAGE = b"\n\n<!DOCTYPE html>\n<html><head><title>404</title></head></html>"


@pytest.fixture
def model(tmp_path: Path) -> ModelProto:
    return onnx.load(tiny_network(tmp_path / "good.onnx", SPEC))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (LFS_POINTER, "Git LFS pointer.*git lfs pull"),
        (WEB_PAGE, "web page, not a model"),
        (b"<html>", "web page"),
        (b"", "is empty"),
        (b"PK\x03\x04 a torch file", "not an ONNX model"),
        (b"\x00" * 64, "not an ONNX model"),
        (b"hello world", "not an ONNX model"),
        (bytes(range(256)) * 40, "not an ONNX model"),
    ],
)
def test_impostor_gets_one_clear_line(tmp_path: Path, content: bytes, words: str) -> None:
    """A file that is called .onnx and is something else gives one line that says what it is, and no bundle."""
    path = tmp_path / "model.onnx"
    path.write_bytes(content)

    with pytest.raises(BundleError, match=words) as caught:
        import_onnx(path, name="a", spec=SPEC, out=tmp_path / "models")

    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.95, 0.999])
def test_truncated_model_is_refused(tmp_path: Path, share: float) -> None:
    """A download that stopped anywhere is refused."""
    whole = tiny_network(tmp_path / "whole.onnx", SPEC).read_bytes()
    path = tmp_path / "cut.onnx"
    path.write_bytes(whole[: int(len(whole) * share)])

    with pytest.raises(BundleError):
        import_onnx(path, name="a", spec=SPEC, out=tmp_path / "models")


def test_missing_file_and_folder_differ(tmp_path: Path) -> None:
    """The message says what is wrong with a path."""
    with pytest.raises(BundleError, match="does not exist"):
        read_onnx(tmp_path / "nowhere.onnx")
    with pytest.raises(BundleError, match="is not a file"):
        read_onnx(tmp_path)


def test_size_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file is read beyond the limit."""
    monkeypatch.setattr(model_file, "MAX_MODEL_BYTES", 2**20)
    path = tmp_path / "big.onnx"
    path.write_bytes(bytes(2**20 + 1))

    with pytest.raises(BundleError, match="larger than 1 MiB"):
        read_model_file(path)


def test_custom_operators_are_refused(tmp_path: Path, model: ModelProto) -> None:
    """An operator of a foreign library is named, also inside a branch."""
    inner = helper.make_graph(
        [helper.make_node("Backdoor", ["vector_out"], ["y"], domain="evil")],
        "branch",
        [],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    model.graph.node.append(helper.make_node("If", ["yes"], ["out"], then_branch=inner, else_branch=inner))
    model.graph.output[0].name = "out"
    model.opset_import.append(helper.make_opsetid("evil", 1))
    onnx.save(model, tmp_path / "custom.onnx")

    with pytest.raises(BundleError, match=r"custom operator evil\.Backdoor"):
        read_onnx(tmp_path / "custom.onnx")


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/passwd", "link.bin", "", "a\0b"])
def test_weights_outside_the_folder_are_never_read(tmp_path: Path, model: ModelProto, location: str) -> None:
    """A model cannot make us read a file that does not lie beside it."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(4096))
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    _keep_outside(model, location)
    (folder / "model.onnx").write_bytes(model.SerializeToString())

    with pytest.raises(BundleError, match="outside its own folder"):
        read_onnx(folder / "model.onnx")


def test_weights_beside_the_model_are_taken_in(tmp_path: Path, model: ModelProto) -> None:
    """A model that keeps its weights in a second file becomes a bundle of one file."""
    onnx.save(model, tmp_path / "split.onnx", save_as_external_data=True, location="split.data", size_threshold=0)

    bundle = import_onnx(tmp_path / "split.onnx", name="a", spec=SPEC, out=tmp_path / "models")

    assert sorted(file.name for file in bundle.folder.iterdir()) == ["bundle.json", "model.onnx"]


@pytest.mark.parametrize("content", [None, b"short"])
def test_missing_or_short_weights_are_named(tmp_path: Path, model: ModelProto, content: bytes | None) -> None:
    """Weights that did not come along, or came in part, are named."""
    onnx.save(model, tmp_path / "split.onnx", save_as_external_data=True, location="split.data", size_threshold=0)
    (tmp_path / "split.data").unlink()
    if content is not None:
        (tmp_path / "split.data").write_bytes(content)

    with pytest.raises(BundleError, match=r"split\.data|weights of"):
        read_onnx(tmp_path / "split.onnx")


def test_old_opset_is_refused(tmp_path: Path, model: ModelProto) -> None:
    """A model older than what ONNX Runtime promises to run says how to get a newer one."""
    model.opset_import[0].version = 6
    onnx.save(model, tmp_path / "old.onnx")

    with pytest.raises(BundleError, match=r"opset 6.*13 or later"):
        read_onnx(tmp_path / "old.onnx")


def test_opset_of_the_future_is_refused(tmp_path: Path, model: ModelProto) -> None:
    """A model newer than what is installed gives one line."""
    model.opset_import[0].version = 9999
    onnx.save(model, tmp_path / "new.onnx")

    with pytest.raises(BundleError) as caught:
        import_onnx(tmp_path / "new.onnx", name="a", spec=SPEC, out=tmp_path)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("value", "words"), [(np.nan, "NaN"), (0, "only zeros")])
def test_weights_without_usable_embeddings_are_refused(
    tmp_path: Path, model: ModelProto, value: float, words: str
) -> None:
    """A model that gives NaN, or nothing but zeros, never becomes a bundle."""
    weights = model.graph.initializer[0]
    weights.CopyFrom(numpy_helper.from_array(np.full_like(numpy_helper.to_array(weights), value), weights.name))
    onnx.save(model, tmp_path / "broken.onnx")

    with pytest.raises(BundleError, match=words):
        import_onnx(tmp_path / "broken.onnx", name="a", spec=SPEC, out=tmp_path / "models")

    assert not (tmp_path / "models").exists()


def test_labels_are_lines(tmp_path: Path) -> None:
    """Labels keep their order and spaces inside; an empty line among them is refused with its number."""
    path = tmp_path / "labels.txt"
    path.write_text("cat\r\ntraffic light\n\n")
    assert read_labels(path) == ("cat", "traffic light")

    path.write_text("cat\n\ndog\n")
    with pytest.raises(BundleError, match="line 2 is empty"):
        read_labels(path)

    path.write_bytes(b"caf\xe9")
    with pytest.raises(BundleError, match="UTF-8"):
        read_labels(path)


def _keep_outside(model: ModelProto, location: str) -> None:
    weights = model.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=location)
