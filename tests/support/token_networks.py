"""A text network that numpy can follow, with a tokenizer of whole words, as one file of a pair."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing

DIMENSION = 5
WORDS = ["<pad>", "</s>", "<unk>", "trees", "a", "photo", "of", "cat", "black", "on", "red", "sofa", "two", "people"]
WORDS += ["walk", "along", "busy", "street", "at", "night.", "green", "parrot"]


def word_tokenizer(folder: Path, *, end: bool = True) -> Path:
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))  # noqa: S106
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if end:
        tokenizer.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


def token_rows() -> NDArray[np.float32]:
    """What the network of tokens makes of each id."""
    return np.random.default_rng(1).standard_normal((len(WORDS), DIMENSION)).astype(np.float32)


def token_network(
    path: Path, *, dtype: int = TensorProto.INT64, further: tuple[str, ...] = (), rows: int = len(WORDS)
) -> Path:
    """A network whose token t (N, T, D) is the sum of a table's rows up to t, plus each `further` input over ten."""
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("CumSum", ["rows", "token_axis"], ["sum0"]),
    ]
    for number, name in enumerate(further):
        nodes.append(helper.make_node("Cast", [name], [f"float{number}"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Unsqueeze", [f"float{number}", "last_axis"], [f"wide{number}"]))
        nodes.append(helper.make_node("Div", [f"wide{number}", "ten"], [f"tenth{number}"]))
        nodes.append(helper.make_node("Add", [f"sum{number}", f"tenth{number}"], [f"sum{number + 1}"]))
    nodes.append(helper.make_node("Identity", [f"sum{len(further)}"], ["last_hidden_state"]))
    constants: dict[str, NDArray[Any]] = {
        "table": token_rows()[:rows],
        "token_axis": np.array(1, np.int64),
        "last_axis": np.array([2], np.int64),
        "ten": np.array(10, np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "tokens",
        [helper.make_tensor_value_info(name, dtype, ["N", "T"]) for name in ("input_ids", *further)],
        [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)]), path)
    return path
