"""The model files of an imported bundle: the graph as it came, and on request one of half precision."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto, helper
from onnxruntime.transformers import float16

from encoders.bundle import ModelFile
from encoders.errors import BundleError, first_line
from encoders.importers.onnx.batching import Outputs, TriedGraph, agrees
from encoders.importers.onnx.graphs import sort_nodes
from encoders.importers.publish import save_model
from encoders.importers.trial import Feeds, Trial

LEAST_COSINE = 0.999
# Sums over many values, which 11 bits of precision would blur, and what ONNX Runtime computes in float32 only.
_STAY_FLOAT = ("LayerNormalization", "ReduceL2", "ReduceSum", "Resize", "Softmax")


def save_precisions(
    tried: TriedGraph, folder: Path, feeds: Feeds, *, precision: str, fp16: bool
) -> tuple[dict[str, ModelFile], dict[str, object]]:
    """Write the model files and run each on the one input `feeds`; returns them with what the gate says of them.

    `BundleError` where a written file computes something else, or half precision is not near enough.
    """
    first: Outputs = {name: values[:1] for name, values in tried.outputs.items()}
    files = {precision: save_model(tried.graph, folder / "model.onnx")}
    path = folder / files[precision].file
    if not agrees(path, feeds, first):
        raise BundleError(f"{path} does not compute the same as before it was written.")
    if not fp16:
        return files, {}
    if precision == "fp16":
        raise BundleError("The model has half precision already: leave out --fp16.")
    files["fp16"] = save_model(
        tried.surround(halved(tried.network, tried.tensors), tried.max_batch), folder / "model_fp16.onnx"
    )
    cosine = least_cosine(Trial(folder / files["fp16"].file, precision="fp16").run(feeds), first)
    if not cosine >= LEAST_COSINE:  # NaN, where a number was too large for half precision, fails too
        raise BundleError(
            f"In half precision the model computes something else (a cosine of {cosine:.4f}): leave out --fp16."
        )
    return files, {"fp16": {"least_cosine": round(cosine, 6)}}


def halved(network: ModelProto, outputs: Sequence[str]) -> ModelProto:
    """The network with weights and activations of 16 bits; its inputs and `outputs` stay as they are."""
    blocked = [*float16.DEFAULT_OP_BLOCK_LIST, *_STAY_FLOAT]
    try:
        folded = _folded(network, outputs)
        half: ModelProto = float16.convert_float_to_float16(folded, keep_io_types=True, op_block_list=blocked)
    except Exception as error:  # ONNX Runtime and the converter raise whatever comes
        raise BundleError(f"The model cannot be converted to half precision: {first_line(error)}") from error
    # The converter casts a value anew for each float32 node that reads it, but under the same name.
    nodes = {tuple(node.output): node for node in half.graph.node}
    del half.graph.node[:]
    half.graph.node.extend(nodes.values())
    sort_nodes(half.graph)
    return half


def _folded(network: ModelProto, outputs: Sequence[str]) -> ModelProto:
    """The network without what depends on no input: ONNX Runtime folds less of it once casts stand between."""
    copy = ModelProto()
    copy.CopyFrom(network)
    del copy.graph.output[:]
    copy.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in outputs)
    with tempfile.TemporaryDirectory() as scratch:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(Path(scratch) / "folded.onnx")
        onnxruntime.InferenceSession(copy.SerializeToString(), options, providers=["CPUExecutionProvider"])
        folded = onnx.load(options.optimized_model_filepath)
    # It adds every domain that it knows, whether an operator is of it or not.
    del folded.opset_import[:]
    folded.opset_import.extend(network.opset_import)
    return folded


def least_cosine(found: Outputs, expected: Outputs) -> float:
    """The least cosine between the outputs of both, each taken as one row of numbers."""
    cosines = []
    for name, values in expected.items():
        one, other = values.ravel().astype(np.float64), found[name].ravel().astype(np.float64)
        if one.shape != other.shape:
            return float("nan")
        length = np.linalg.norm(one) * np.linalg.norm(other)
        cosines.append(float(one @ other / length) if length else float(np.array_equal(one, other)))
    return min(cosines)
