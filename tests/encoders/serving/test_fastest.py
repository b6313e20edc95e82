"""The precision is chosen by trying, where that is asked for."""

import dataclasses
from pathlib import Path

import onnx
import pytest
from onnx import helper

from encoders.bundle import Bundle, ModelFile
from encoders.serving.fastest import FASTEST, open_session
from encoders.serving.providers import SessionOptions
from encoders.serving.session import EmbeddingSession
from tests.support.bundles import tiny_image_bundle


def with_slow(bundle: Bundle, precision: str, *, as_other: str) -> Bundle:
    """The bundle with its model under two precisions, of which one takes much longer to compute the same."""
    quick = onnx.load(bundle.path_of("fp32"))
    slow = onnx.ModelProto()
    slow.CopyFrom(quick)
    last = slow.graph.output[0].name
    for node in slow.graph.node:
        node.output[:] = ["before_0" if name == last else name for name in node.output]
    steps = [(f"before_{step}", f"before_{step + 1}") for step in range(4000)]
    slow.graph.node.extend(helper.make_node("Sin", [given], [made]) for given, made in steps[:-1])
    slow.graph.node.append(helper.make_node("Identity", [steps[-1][0]], [last]))
    files = {}
    for name, model in ((precision, slow), (as_other, quick)):
        path = bundle.folder / f"{name}.onnx"
        path.write_bytes(model.SerializeToString())
        files[name] = ModelFile.of(path)
    return dataclasses.replace(bundle, precisions=files)


@pytest.mark.parametrize(("slow", "other"), [("fp32", "int8"), ("int8", "fp32")])
def test_the_fastest_precision_is_served(tmp_path: Path, slow: str, other: str) -> None:
    """Whichever that is: int8 makes some networks faster and others slower."""
    bundle = with_slow(tiny_image_bundle(tmp_path), slow, as_other=other)

    session = open_session(EmbeddingSession, bundle, SessionOptions(provider="cpu", precision=FASTEST, max_batch=2))

    assert session.graph.precision == other
    assert session.largest_batch == 2


def test_a_precision_that_is_asked_for_is_not_tried_against_others(tmp_path: Path) -> None:
    """Also the default is fixed, so that replicas on unlike machines agree."""
    bundle = with_slow(tiny_image_bundle(tmp_path), "fp32", as_other="int8")

    session = open_session(EmbeddingSession, bundle, SessionOptions(provider="cpu", max_batch=2))

    assert session.graph.precision == "fp32"
