"""The tree of times names each level, and what a level does not explain is its rest."""

import io
import re

from rich.console import Console

from cli.profile import profile_tree
from fovea.search.v1 import search_pb2


def test_the_tree_has_every_stage() -> None:
    """Calls that ran at the same time leave a rest of 0, never less."""
    call = search_pb2.EncoderTimings(encoder="general", input_count=2, decode_ms=2, queue_ms=1, infer_ms=4, call_ms=9)
    timings = search_pb2.SearchTimings(
        encode_ms=10, vector_search_ms=3, metadata_ms=1, total_ms=16, encoders=[call, call]
    )
    console = Console(width=60, record=True, file=io.StringIO())
    console.print(profile_tree(timings, round_trip_ms=20))
    lines = [re.sub("^[│├└─ \\xa0]+", "", line).rstrip() for line in console.export_text().splitlines()]
    encoder = ["general, 2 inputs  9.0 ms", "decode  2.0 ms", "queue  1.0 ms", "model  4.0 ms", "rest  2.0 ms"]
    assert lines == [
        "fovea search  20.0 ms",
        "search service  16.0 ms",
        "embedding the query  10.0 ms",
        *encoder,
        *encoder,
        "rest  0.0 ms",
        "Milvus  3.0 ms",
        "Redis  1.0 ms",
        "rest  2.0 ms",
        "rest  4.0 ms",
    ]
