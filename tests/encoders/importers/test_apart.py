import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from encoders.errors import BundleError
from encoders.importers.apart import ImportLimits, import_apart
from encoders.importers.onnx.embedder import import_onnx
from encoders.importers.onnx.spec import ImageSpec
from tests.support.crashing_importer import crash, hang
from tests.support.networks import SIZE
from tests.support.processes import REPOSITORY, alive, eventually

SPEC = ImageSpec(size=SIZE)
HANGING = """
import sys
from pathlib import Path
from encoders.importers.apart import import_apart
from tests.support.crashing_importer import hang

import_apart(hang, Path(sys.argv[1]), out=Path(sys.argv[2]), name="mine")
"""


def test_an_import_that_dies_costs_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    """A model that crashes its process is refused; the folder that was begun is deleted, others are not."""
    (tmp_path / ".importing-another").mkdir()

    with pytest.raises(BundleError, match=r"ended the process that tried it \(SIGKILL\)") as refused:
        import_apart(crash, "kill", out=tmp_path, name="mine")

    assert "\n" not in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == [".importing-another"]


def test_a_refusal_and_a_result_come_through(tmp_path: Path) -> None:
    """What the importer raises or returns is the caller's."""
    with pytest.raises(BundleError, match=r"No such thing\."):
        import_apart(crash, "refuse", out=tmp_path, name="mine")

    assert import_apart(crash, "finish", out=tmp_path, name="mine") == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_an_import_that_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    """Its children and its scratch files do not stay."""
    note, out = tmp_path / "note", tmp_path / "models"

    with pytest.raises(BundleError, match=r"took more than 0\.15 minutes and was ended"):
        import_apart(hang, note, out=out, name="mine", limits=ImportLimits(time_s=9))

    pid, scratch = note.read_text().split()
    assert not alive(int(pid))
    assert not Path(scratch).exists()
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_an_import_ends_with_its_command(tmp_path: Path, number: signal.Signals) -> None:
    """Nothing goes on computing for a command that was killed, and Ctrl-C leaves nothing behind."""
    note, out = tmp_path / "note", tmp_path / "models"
    command = subprocess.Popen([sys.executable, "-c", HANGING, str(note), str(out)], cwd=REPOSITORY)
    try:
        eventually(note.exists)
        command.send_signal(number)
        command.wait(timeout=30)
    finally:
        command.kill()

    pid, scratch = note.read_text().split()
    eventually(lambda: not alive(int(pid)))
    if number == signal.SIGINT:
        assert not Path(scratch).exists()
        assert list(out.iterdir()) == []


def test_a_model_that_loops_is_ended(tmp_path: Path) -> None:
    """The time of the clock bounds it."""
    with pytest.raises(BundleError, match=r"took more than 0\.05 minutes and was ended"):
        import_apart(import_onnx, _looping(tmp_path), name="a", spec=SPEC, out=tmp_path, limits=ImportLimits(time_s=3))


def test_a_model_that_grows_is_refused(tmp_path: Path) -> None:
    """It names the memory that it may have, and takes no more."""
    limits = ImportLimits(memory_bytes=3 << 29)

    with pytest.raises(BundleError, match=r"needs more than the 1\.5 GiB of memory that it may use"):
        import_apart(import_onnx, _growing(tmp_path), name="a", spec=SPEC, out=tmp_path, limits=limits)


def test_a_file_that_grows_is_refused(tmp_path: Path) -> None:
    """A model cannot fill the disk."""
    with pytest.raises(BundleError, match="cannot be written: File too large"):
        import_apart(crash, "fill", out=tmp_path, name="mine", limits=ImportLimits(file_bytes=1 << 20))

    assert list(tmp_path.iterdir()) == []


def _looping(folder: Path) -> Path:
    """A network that adds to an image's values 2^62 times."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go_on"], ["goes_on"]), helper.make_node("Add", ["value", "value"], ["sum"])],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, None),
        ],
    )
    rounds = numpy_helper.from_array(np.array(2**62, np.int64), "rounds")
    return _network(folder, [helper.make_node("Loop", ["rounds", "", "flat"], ["embedding"], body=body)], [rounds])


def _growing(folder: Path) -> Path:
    """A network that fills 2 GiB with an image's value."""
    shape = numpy_helper.from_array(np.array([1, 2**29], np.int64), "shape")
    first = numpy_helper.from_array(np.array([0], np.int64), "first")
    nodes = [
        helper.make_node("Gather", ["flat", "first"], ["value"], axis=1),
        helper.make_node("Expand", ["value", "shape"], ["many"]),
        helper.make_node("ReduceMean", ["many"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Add", ["flat", "mean"], ["embedding"]),
    ]
    return _network(folder, nodes, [shape, first])


def _network(folder: Path, nodes: list[NodeProto], constants: list[TensorProto]) -> Path:
    """Write a network from `image` by `flat`, its values, to `embedding`."""
    width_px, height_px = SIZE
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, height_px, width_px])
    embedding = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [1, 3 * height_px * width_px])
    flatten = helper.make_node("Flatten", ["image"], ["flat"])
    graph = helper.make_graph([flatten, *nodes], "network", [image], [embedding], constants)
    path = folder / "model.onnx"
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)]), path)
    return path
