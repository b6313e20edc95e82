"""Where the time of a search went, as a tree: the command, the search service, each call of an encoder, the stores."""

from rich.tree import Tree

from fovea.search.v1 import search_pb2


def profile_tree(timings: search_pb2.SearchTimings, *, round_trip_ms: float) -> Tree:
    """The tree; what a level does not name itself is its rest: messages, waiting, and its own work."""
    tree = Tree(_line("fovea search", round_trip_ms))
    search = tree.add(_line("search service", timings.total_ms))
    encode = search.add(_line("embedding the query", timings.encode_ms))
    for call in timings.encoders:
        _add_encoder(encode, call)
    _add_rest(encode, timings.encode_ms, [call.call_ms for call in timings.encoders])
    search.add(_line("Milvus", timings.vector_search_ms))
    search.add(_line("Redis", timings.metadata_ms))
    _add_rest(search, timings.total_ms, [timings.encode_ms, timings.vector_search_ms, timings.metadata_ms])
    _add_rest(tree, round_trip_ms, [timings.total_ms])
    return tree


def _add_encoder(tree: Tree, call: search_pb2.EncoderTimings) -> None:
    inputs = f"{call.input_count} input" + ("s" if call.input_count > 1 else "")
    encoder = tree.add(_line(f"{call.encoder}, {inputs}", call.call_ms))
    for name, stage_ms in (("decode", call.decode_ms), ("queue", call.queue_ms), ("model", call.infer_ms)):
        encoder.add(_line(name, stage_ms))
    _add_rest(encoder, call.call_ms, [call.decode_ms, call.queue_ms, call.infer_ms])


def _add_rest(tree: Tree, whole_ms: float, parts_ms: list[float]) -> None:
    # Calls that run at the same time may add up to more than the whole.
    tree.add(_line("rest", max(0.0, whole_ms - sum(parts_ms))))


def _line(name: str, duration_ms: float) -> str:
    return f"{name}  {duration_ms:.1f} ms"
