from pathlib import Path
from typing import Any

import pytest

from encoders.errors import BundleError
from encoders.importers.onnx.spec import ImageSpec

CONTRACT = """{"modality": "image", "size": [224, 224], "resize": "squash", "interpolation": "bilinear", "layout": "NCHW",
 "dtype": "float32", "color": "RGB", "scale": 1.0, "mean": [127.5, 127.5, 127.5], "std": [127.5, 127.5, 127.5],
 "input": "image", "output": "embedding"}"""


def test_contract_example_is_read(tmp_path: Path) -> None:
    """The example of the contract is a spec, and a pixel of 255 becomes 1."""
    path = tmp_path / "spec.json"
    path.write_text(CONTRACT)

    spec = ImageSpec.read(path)

    assert (spec.size, spec.layout, spec.output) == ((224, 224), "NCHW", "embedding")
    assert [255 * factor + offset for factor, offset in zip(spec.multiplier, spec.offset, strict=True)] == [1, 1, 1]


def test_size_is_enough() -> None:
    """Everything but the size has a default."""
    spec = ImageSpec.of({"size": [96, 64]})

    assert spec.preprocessing.size == (96, 64)
    assert not spec.changes_pixels


def test_spec_reads_back_what_it_writes() -> None:
    """The JSON of a spec gives the same spec."""
    crop = ImageSpec.of({"size": [64, 64], "resize": "shortest_crop", "shorter_side_px": 72, "fill": 0, "std": 2})
    bands = ImageSpec.of({"size": [64, 64], "resize": "letterbox", "fill": "blur"})

    assert [ImageSpec.of(spec.as_json()) for spec in (crop, bands)] == [crop, bands]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ""),
        ({"scale": 1 / 255}, ""),
        ({"mean": 127.5, "std": 127.5}, ""),
        ({"scale": 1 / 255, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}, ""),
        ({"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}, ""),
        ({"mean": [103.9, 116.8, 123.7], "color": "BGR"}, ""),
        ({"scale": 0.017, "mean": 2.1}, ""),
        ({"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}, "1/255"),
        ({"mean": 0.5, "std": 0.5}, "-1 to 509"),
        ({"scale": 255}, "1/255"),
        ({"scale": 1 / 255, "mean": 127.5, "std": 127.5}, '"scale": 1'),
        ({"scale": 1 / 255, "std": 58}, '"scale": 1'),
    ],
)
def test_inputs_that_no_network_is_trained_on_are_warned_of(changes: dict[str, Any], words: str) -> None:
    """The warning looks at the range of the inputs that the numbers make together, not at single numbers."""
    warning = ImageSpec.of({"size": [8, 8], **changes}).warning

    assert words in warning
    assert bool(words) == bool(warning)


def test_one_number_stands_for_every_channel() -> None:
    """A single mean and std hold for all channels, and grey has one channel."""
    assert ImageSpec.of({"size": [8, 8], "mean": 10, "std": [2]}).offset == (-5.0, -5.0, -5.0)
    assert ImageSpec.of({"size": [8, 8], "color": "GRAY", "mean": [10]}).offset == (-10.0,)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"colour": "RGB"}, "'colour' is unknown"),
        ({"size": None}, "size is null"),
        ({"size": [224]}, r"\[width, height\]"),
        ({"size": [0, 224]}, "1 to 4096"),
        ({"size": [True, 224]}, "1 to 4096"),
        ({"layout": "CHW"}, "layout.*NCHW, NHWC"),
        ({"pooling": "sum"}, "pooling.*cls, mean, max"),
        ({"skip_tokens": 1}, 'skip_tokens needs a "pooling" of mean or max'),
        ({"skip_tokens": 65, "pooling": "mean"}, "skip_tokens is 65; it must be .* 0 to 64"),
        ({"dtype": "int8"}, "dtype.*float32, float16, uint8"),
        ({"modality": "text"}, "modality.*image, sketch"),
        ({"scale": "1"}, "scale"),
        ({"scale": 1e300}, "scale"),
        ({"mean": [1, 2]}, "mean needs 3 numbers"),
        ({"std": [1, 0, 1]}, "std must not be 0"),
        ({"std": [float("nan")] * 3}, "std"),
        ({"fill": [0, 0, 256]}, "fill"),
        ({"fill": "blurred"}, "or blur"),
        ({"fill": "blur"}, "Only a letterbox"),
        ({"output": 3}, "output"),
        ({"resize": "shortest_crop", "shorter_side_px": 16}, "shorter_side_px"),
        ({"dtype": "uint8", "mean": 127.5}, "uint8 holds 0 to 255"),
    ],
)
def test_wrong_value_names_its_key(change: dict[str, Any], words: str) -> None:
    """Whatever is wrong with a spec is one line that names the key."""
    with pytest.raises(BundleError, match=words) as caught:
        ImageSpec.of({"size": [32, 32], **change})

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", 'needs "size"'),
        ("[]", "one JSON object"),
        ('{"size": [1, 2]', "line 1 is not JSON"),
        ("[" * 100_000, "not the JSON object"),
        ('{"size": ' + "9" * 5000 + "}", "not the JSON object"),
        ("", "is empty"),
    ],
)
def test_file_that_is_no_spec_is_named(tmp_path: Path, text: str, words: str) -> None:
    """A broken spec file is named in the line that says what is wrong."""
    path = tmp_path / "spec.json"
    path.write_text(text)

    with pytest.raises(BundleError, match=words) as caught:
        ImageSpec.read(path)

    assert str(path) in str(caught.value)
