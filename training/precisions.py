"""Owns the smaller forms of an exported graph: half precision, and integers of eight bits."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers import float16

Feeds = dict[str, NDArray[Any]]

# Nearly all of the work is in these, and other steps (norms, powers, softmax) lose more than they gain.
QUANTISED = ("Conv", "Gemm", "MatMul")
# Of a weight in int8: without VNNI a processor adds two products in 16 bits, and those of eight bits overflow there.
WEIGHT_BITS = 7
RECURRENT = {"GRU", "LSTM", "RNN"}
# Sums over many values, which 11 bits of precision would blur.
STAY_FLOAT = ("LayerNormalization", "ReduceL2", "ReduceSum", "Softmax")


class PrecisionError(Exception):
    """The graph cannot have this precision; the message says why."""


def write_fp16(model: Path, out: Path, float_parts: Sequence[str] = ()) -> None:
    """Write the graph with weights and activations of 16 bits; its inputs and outputs stay as they are.

    The nodes of `float_parts`, which are beginnings of names such as `/colour/`, stay float32.
    """
    graph = onnx.load(model)
    halved = float16.convert_float_to_float16(
        graph,
        keep_io_types=True,
        op_block_list=[*float16.DEFAULT_OP_BLOCK_LIST, *STAY_FLOAT],
        node_block_list=_nodes_of(graph, float_parts),
    )
    # The converter casts a value anew for each float32 node that reads it, but under the same name.
    nodes = {tuple(node.output): node for node in halved.graph.node}
    del halved.graph.node[:]
    halved.graph.node.extend(nodes.values())
    onnx.save(halved, out)


def write_int8(model: Path, out: Path, calibration: Iterable[Feeds], float_parts: Sequence[str] = ()) -> None:
    """Write the graph with weights int8 of seven bits, a scale for each channel, and activations uint8 (QDQ, "U8S8").

    The activations' ranges are those that batches of real inputs, `calibration`, show. The nodes of `float_parts` stay
    float32. `PrecisionError` where the graph is recurrent: ONNX Runtime has no LSTM of integers in this form.
    """
    if recurrent := RECURRENT & {node.op_type for node in onnx.load(model).graph.node}:
        raise PrecisionError(f"{', '.join(sorted(recurrent))} cannot be computed in integers")
    with tempfile.TemporaryDirectory() as scratch:
        prepared = Path(scratch) / "prepared.onnx"
        # Folds batch normalisations into their convolutions and infers shapes, which the ranges depend on.
        quant_pre_process(model, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            out,
            _Calibration(calibration),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTISED),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            reduce_range=True,  # WEIGHT_BITS
            nodes_to_exclude=_nodes_of(onnx.load(prepared), float_parts),
            # Products of two activations, as in attention, stay float: one range must not fit all of them.
            extra_options={"MatMulConstBOnly": True},
        )


class _Calibration(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    def __init__(self, feeds: Iterable[Feeds]) -> None:
        self._feeds: Iterator[Feeds] = iter(feeds)

    def get_next(self) -> Feeds | None:
        return next(self._feeds, None)


def _nodes_of(graph: onnx.ModelProto, parts: Sequence[str]) -> list[str]:
    names = [node.name for node in graph.graph.node]
    for part in parts:
        if not any(name.startswith(part) for name in names):
            raise ValueError(f"The graph has no node whose name begins with {part}; what should stay float?")
    return [name for name in names if name.startswith(tuple(parts))]
