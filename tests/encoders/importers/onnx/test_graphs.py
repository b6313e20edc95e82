from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from encoders.errors import BundleError
from encoders.importers.onnx.embedder import import_onnx
from encoders.importers.onnx.spec import ImageSpec

SIDE_PX = 4
_STATISTICS = ["ones", "ones", "ones", "ones"]


def network(path: Path, node: NodeProto, opset: int) -> Path:
    """A network of one node between its image and the flattened output."""
    constants = [
        numpy_helper.from_array(np.ones(3, np.float32), "ones"),
        numpy_helper.from_array(np.array(0.5, np.float32), "ratio"),
        numpy_helper.from_array(np.array(True), "true"),  # the tensor's value
        numpy_helper.from_array(np.array(False), "false"),  # the same
    ]
    graph = helper.make_graph(
        [node, helper.make_node("Flatten", ["middle"], ["out"])],
        "training",
        [helper.make_tensor_value_info("pixels_in", TensorProto.FLOAT, ["N", 3, SIDE_PX, SIDE_PX])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        constants,
    )
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", opset)]), path)
    return path


@pytest.mark.parametrize(
    ("node", "opset"),
    [
        (
            helper.make_node(
                "BatchNormalization", ["pixels_in", *_STATISTICS], ["middle", "mean", "var"], training_mode=1
            ),
            15,
        ),
        (helper.make_node("BatchNormalization", ["pixels_in", *_STATISTICS], ["middle", "m", "v", "sm", "sv"]), 9),
        (helper.make_node("Dropout", ["pixels_in", "ratio", "true"], ["middle"]), 13),
    ],
)
def test_network_in_training_mode_is_refused_with_the_reason(tmp_path: Path, node: NodeProto, opset: int) -> None:
    """Embeddings that depend on the batch or on chance are refused; the message says how to export."""
    with pytest.raises(BundleError, match=rf"exported in training mode \({node.op_type}.*model.eval\(\)"):
        import_onnx(
            network(tmp_path / "a.onnx", node, opset),
            name="a",
            spec=ImageSpec(size=(SIDE_PX, SIDE_PX)),
            out=tmp_path / "models",
        )


@pytest.mark.parametrize(
    "node",
    [
        helper.make_node("BatchNormalization", ["pixels_in", *_STATISTICS], ["middle"], training_mode=0),
        helper.make_node("Dropout", ["pixels_in", "ratio", "false"], ["middle"]),
        helper.make_node("Dropout", ["pixels_in"], ["middle"]),
    ],
)
def test_the_same_layers_for_inference_are_imported(tmp_path: Path, node: NodeProto) -> None:
    """Layers that are only there for training, switched off, are not a fault."""
    spec = ImageSpec(size=(SIDE_PX, SIDE_PX))

    bundle = import_onnx(network(tmp_path / "a.onnx", node, 15), name="a", spec=spec, out=tmp_path)

    assert bundle.dimension == 3 * SIDE_PX * SIDE_PX
