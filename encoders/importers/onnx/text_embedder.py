"""An ONNX text model and its tokenizer, surrounded and tried on texts as serving will run it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper

from encoders.errors import BundleError
from encoders.importers.onnx.batching import TriedGraph, repeated, try_batches
from encoders.importers.onnx.embedder import check_embeddings
from encoders.importers.onnx.graphs import prune, refuse_training_mode
from encoders.importers.onnx.signature import embedding_output
from encoders.importers.onnx.text_graph import RAW_OUTPUT, TextInputs, surround_text, text_inputs
from encoders.importers.onnx.text_spec import TextSpec
from encoders.importers.onnx.tokenizer import TextPreparation
from encoders.importers.trial import Feeds, Trial

# The first is short, the last is cut to the model's length.
TRIAL_TEXTS = ("trees", "a photo of a black cat on a red sofa", "two people walk along a busy street at night. " * 200)
_USUAL_OUTPUTS = ("text_embeds", "text_features", "text_embeddings", "sentence_embedding", "pooler_output")


def make_text_embedder(model: ModelProto, spec: TextSpec, preparation: TextPreparation) -> TriedGraph:
    """Cut the model down to its text embedding, surround it and try it on three texts."""
    output = embedding_output(model, spec.output, _USUAL_OUTPUTS)
    prune(model.graph, output)
    refuse_training_mode(model.graph)
    inputs = text_inputs(model, spec)
    if inputs.length and (inputs.length, "fixed") != (spec.length, spec.padding):
        raise BundleError(
            f"The text model reads exactly {inputs.length} tokens: the spec's text needs "
            f'"length": {inputs.length} and "padding": "fixed".'
        )
    batch = max(1, inputs.batch)
    texts = preparation.tokens(TRIAL_TEXTS)
    singles = [text_feeds([text]) for text in texts]
    rank = _output_rank(
        model, spec, inputs, output=output, pad_id=preparation.pad_id, feeds=repeated(singles[0], batch)
    )

    def surround(opened: ModelProto, count: int | None) -> ModelProto:
        return surround_text(opened, spec, inputs, output=output, pad_id=preparation.pad_id, batch=count, rank=rank)

    tried = try_batches(
        model,
        surround,
        tensors=(output,),
        singles=singles,
        together=text_feeds(texts),
        batch=batch,
        check=lambda outputs: check_embeddings(outputs, what="texts", remedy="text.output, padding and tokenizer"),
    )
    _try_largest_token(tried, preparation, batch=batch)
    return tried


def text_feeds(texts: Sequence[NDArray[np.int64]]) -> Feeds:
    """The inputs of a text bundle, as serving pads them."""
    tokens = np.zeros((len(texts), max(map(len, texts))), np.int64)
    for row, ids in enumerate(texts):
        tokens[row, : len(ids)] = ids
    return {"tokens": tokens, "lengths": np.array([len(ids) for ids in texts], np.int64)}


def _output_rank(
    model: ModelProto, spec: TextSpec, inputs: TextInputs, *, output: str, pad_id: int, feeds: Feeds
) -> int:
    """How many axes the output has; raises unless it is one embedding a text, or tokens that the spec says how to pool."""
    batch = len(feeds["lengths"])
    graph = surround_text(model, spec, inputs, output=output, pad_id=pad_id, batch=batch, rank=0)
    graph.graph.output.append(helper.make_tensor_value_info(RAW_OUTPUT, TensorProto.FLOAT, None))
    shape = Trial(graph).run(feeds)[RAW_OUTPUT].shape
    shown = f"The text model's output {output} is {' x '.join(map(str, shape)) or 'a single number'}"
    if len(shape) not in {2, 3} or shape[0] != batch:
        raise BundleError(f"{shown} for {batch} texts: name one that is (N, D), or tokens (N, T, D), as text.output.")
    if (len(shape) == 3) != (spec.pooling is not None):
        remedy = "give the spec a text.pooling" if len(shape) == 3 else "leave text.pooling out"
        raise BundleError(f"{shown}: {remedy}.")
    return len(shape)


def _try_largest_token(tried: TriedGraph, preparation: TextPreparation, *, batch: int) -> None:
    """Run the token with the largest id: a tokenizer of another model fails here and not at a query."""
    trial = Trial(tried.graph)
    for token in (preparation.largest_id, preparation.pad_id):
        ids = np.full(min(4, preparation.length), token, np.int64)
        try:
            trial.run(repeated(text_feeds([ids]), batch))
        except BundleError as error:
            raise BundleError(
                f"The text model does not know the token {token} of its tokenizer: they are of different models."
            ) from error
