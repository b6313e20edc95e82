"""The precision is chosen by trying, where that is asked for."""

import dataclasses
from pathlib import Path

import onnx
import pytest
from onnx import helper

from encoders.bundle import Bundle, ModelFile
from encoders.serving.fastest import FASTEST, open_session
from encoders.serving.int8_overflow import adds_int8_in_32_bits
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


def test_int8_that_overflows_here_is_not_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights of eight bits are for processors with VNNI; those of seven bits, as the gate notes them, for any."""
    monkeypatch.setattr("encoders.serving.int8_overflow.adds_int8_in_32_bits", lambda: False)
    options = SessionOptions(provider="cpu", precision=FASTEST, max_batch=2)
    eight_bits = with_slow(tiny_image_bundle(tmp_path), "fp32", as_other="int8")
    seven_bits = dataclasses.replace(eight_bits, gate={"int8": {"weight_bits": 7}})

    assert open_session(EmbeddingSession, eight_bits, options).graph.precision == "fp32"
    assert open_session(EmbeddingSession, seven_bits, options).graph.precision == "int8"


def test_int8_that_overflows_here_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The operator asked for it, so it is served."""
    monkeypatch.setattr("encoders.serving.int8_overflow.adds_int8_in_32_bits", lambda: False)
    bundle = with_slow(tiny_image_bundle(tmp_path), "fp32", as_other="int8")

    open_session(EmbeddingSession, bundle, SessionOptions(provider="cpu", precision="int8", max_batch=1))

    assert "without VNNI" in caplog.text


@pytest.mark.parametrize(
    ("flags", "machine", "adds_in_32_bits"),
    [
        ("fpu avx2 avx_vnni", "x86_64", True),
        ("fpu avx512_vnni", "AMD64", True),
        ("fpu avx2 avx512f", "x86_64", False),
        ("", "x86_64", False),
        ("", "aarch64", True),
    ],
)
def test_the_processor_says_how_it_adds(tmp_path: Path, flags: str, machine: str, *, adds_in_32_bits: bool) -> None:
    """By the flags of the first core; one that says nothing is taken for an old one."""
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nflags\t\t: {flags}\n\nprocessor\t: 1\nflags\t\t: avx_vnni\n")

    assert adds_int8_in_32_bits(cpuinfo, machine) == adds_in_32_bits
    assert adds_int8_in_32_bits(tmp_path / "none", machine) == (machine == "aarch64")


def test_a_precision_that_is_asked_for_is_not_tried_against_others(tmp_path: Path) -> None:
    """Also the default is fixed, so that replicas on unlike machines agree."""
    bundle = with_slow(tiny_image_bundle(tmp_path), "fp32", as_other="int8")

    session = open_session(EmbeddingSession, bundle, SessionOptions(provider="cpu", max_batch=2))

    assert session.graph.precision == "fp32"
