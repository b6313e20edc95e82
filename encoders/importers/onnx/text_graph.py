"""The nodes around a text network: from tokens and lengths to its inputs, from its output to an embedding of unit length."""

from collections.abc import Mapping
from dataclasses import dataclass

from onnx import ModelProto, TensorProto, helper

from encoders.errors import BundleError
from encoders.importers.nodes import Nodes
from encoders.importers.onnx.frame import NETWORK, floats_of, frame, normalise
from encoders.importers.onnx.graphs import opset_of
from encoders.importers.onnx.signature import inputs_of
from encoders.importers.onnx.text_spec import TextPooling, TextSpec

# Before the pooling, in float32.
RAW_OUTPUT = "fovea/output_floats"
# What exporters call the inputs, by the key of the spec.
USUAL_INPUTS: Mapping[str, tuple[str, ...]] = {
    "ids": ("input_ids", "text", "tokens", "input"),
    "mask": ("attention_mask",),
    "positions": ("position_ids",),
    "types": ("token_type_ids",),
}
_OLDEST_OPSET = 11  # before it there is neither `Range` nor a `Pad` of computed lengths
_INTEGERS = (TensorProto.INT32, TensorProto.INT64)
_MASK_TYPES = (*_INTEGERS, TensorProto.FLOAT, TensorProto.BOOL)


@dataclass(frozen=True, slots=True)
class TextInputs:
    """The network's inputs by the keys of the spec, each with its element type, and the batch and length they fix, or 0."""

    names: Mapping[str, str]
    types: Mapping[str, int]
    batch: int
    length: int


def text_inputs(model: ModelProto, spec: TextSpec) -> TextInputs:
    """Find what each input of the model is; `BundleError` where one remains, or has another type or shape."""
    inputs, names = inputs_of(model), {}
    for key, usual in USUAL_INPUTS.items():
        named = getattr(spec, key)
        if named and named not in inputs:
            raise BundleError(f"The text model has no input {named!r}; its inputs are {', '.join(inputs) or 'none'}.")
        if found := named or next((name for name in usual if name in inputs), ""):
            names[key] = found
    if "ids" not in names and len(inputs) == 1:
        names["ids"] = next(iter(inputs))
    unknown = [name for name in inputs if name not in names.values()]
    if "ids" not in names or unknown:
        raise BundleError(
            f"The text model has the inputs {', '.join(inputs) or 'none'}: say in the spec's text which of them are "
            f"{', '.join(USUAL_INPUTS)}."
        )
    types = {key: inputs[name].type.tensor_type.elem_type for key, name in names.items()}
    for key, name in names.items():
        if types[key] not in (_MASK_TYPES if key == "mask" else _INTEGERS):
            raise BundleError(f"The text model's input {name} is {_name_of(types[key])}, which cannot be its {key}.")
    axes = [axis.dim_value for axis in inputs[names["ids"]].type.tensor_type.shape.dim]
    if axes and len(axes) != 2:
        raise BundleError(f"The text model's input {names['ids']} has {len(axes)} axes, not texts and tokens.")
    batch, length = axes or (0, 0)
    return TextInputs(names, types, max(batch, 0), max(length, 0))


def surround_text(
    model: ModelProto, spec: TextSpec, inputs: TextInputs, *, output: str, pad_id: int, batch: int | None, rank: int
) -> ModelProto:
    """Put padding, mask and positions before the model and the pooling and unit length after its tensor `output` of `rank` axes.

    The result has the inputs `tokens` int64 (N, T) and `lengths` int64 (N), and the output `embedding` float32 (N, D).
    """
    if opset_of(model) < _OLDEST_OPSET:
        raise BundleError(f"The text model uses opset {opset_of(model)}: export it again with opset 13 or later.")
    before, after = Nodes(opset_of(model)), Nodes(opset_of(model))
    _prepare(before, spec, inputs, pad_id)
    floats = floats_of(after, output, RAW_OUTPUT)
    if spec.pooling is not None and rank == 3:
        floats = _pooled(after, floats, spec.pooling)
    normalise(after, floats, batch)
    texts = batch or "N"
    return frame(
        model,
        before,
        after,
        name="fovea_text_encoder",
        inputs=[
            helper.make_tensor_value_info("tokens", TensorProto.INT64, [texts, "T"]),
            helper.make_tensor_value_info("lengths", TensorProto.INT64, [texts]),
        ],
        outputs=[helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [texts, "D"])],
    )


def _prepare(nodes: Nodes, spec: TextSpec, inputs: TextInputs, pad_id: int) -> None:
    """From `tokens` and `lengths` to the network's inputs; `fovea/mask` (N, T) is true where a text's own tokens are."""
    tokens = "tokens"
    if spec.padding == "fixed":
        tokens = _padded(nodes, spec.length)
    shape = nodes.add("Shape", [tokens], "fovea/tokens_shape")
    count = nodes.add("Gather", [shape, nodes.scalar("fovea/token_axis", 1)], "fovea/token_count", axis=0)
    limits = [nodes.scalar("fovea/first", 0), count, nodes.scalar("fovea/step", 1)]
    row = nodes.add("Range", limits, "fovea/range")
    row = nodes.add("Reshape", [row, nodes.integers("fovea/row_shape", [1, -1])], "fovea/positions")
    column = nodes.add("Reshape", ["lengths", nodes.integers("fovea/column_shape", [-1, 1])], "fovea/text_lengths")
    mask = nodes.add("Less", [row, column], "fovea/mask")
    ids = nodes.add("Where", [mask, tokens, nodes.scalar("fovea/pad", pad_id)], "fovea/ids")
    made = {"ids": ids, "mask": mask}
    if "positions" in inputs.names:
        made["positions"] = nodes.add("Expand", [row, shape], "fovea/all_positions")
    if "types" in inputs.names:
        made["types"] = nodes.add("Mul", [ids, nodes.scalar("fovea/no_type", 0)], "fovea/types")
    for key, name in inputs.names.items():
        nodes.add("Cast", [made[key]], NETWORK + name, to=inputs.types[key])


def _padded(nodes: Nodes, length: int) -> str:
    """Make every text `length` tokens long; the new ones are replaced with all the padding."""
    shape = nodes.add("Shape", ["tokens"], "fovea/given_shape")
    given = nodes.add("Gather", [shape, nodes.integers("fovea/given_axis", [1])], "fovea/given_count", axis=0)
    missing = nodes.add("Sub", [nodes.integers("fovea/full_length", [length]), given], "fovea/missing")
    amounts = nodes.add("Concat", [nodes.integers("fovea/no_padding", [0, 0, 0]), missing], "fovea/amounts", axis=0)
    return nodes.add("Pad", ["tokens", amounts], "fovea/full_tokens", mode="constant")


def _pooled(nodes: Nodes, floats: str, pooling: TextPooling) -> str:
    """Append the weighted sum of the tokens (N, T, D): weights (N, 1, T) times tokens."""
    match pooling:
        case "mean":
            # Its count does not matter: embeddings are made unit length.
            chosen = "fovea/mask"
        case "cls":
            chosen = nodes.add("Equal", ["fovea/positions", nodes.scalar("fovea/first_token", 0)], "fovea/chosen")
        case "last":
            last = nodes.add("Sub", ["fovea/token_count", nodes.scalar("fovea/one", 1)], "fovea/last")
            chosen = nodes.add("Equal", ["fovea/positions", last], "fovea/chosen")
        case "eos":
            ends = nodes.add("Sub", ["fovea/text_lengths", nodes.scalar("fovea/one", 1)], "fovea/ends")
            chosen = nodes.add("Equal", ["fovea/positions", ends], "fovea/chosen")
    weights = nodes.add("Cast", [chosen], "fovea/weights", to=TensorProto.FLOAT)
    rows = nodes.unsqueeze(weights, "fovea/weight_rows", axis=1)  # (N, 1, T), or (1, 1, T) for all texts alike
    return nodes.add("MatMul", [rows, floats], "fovea/pooled")


def _name_of(element_type: int) -> str:
    name: str = TensorProto.DataType.Name(element_type)
    return name.lower()
