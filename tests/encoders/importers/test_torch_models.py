import importlib.util
from pathlib import Path

import pytest

from encoders.errors import BundleError
from encoders.importers.torch_models import import_published


def test_without_the_training_distribution_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The serving wheel alone reads ONNX and Darknet, and says what reads the rest."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    with pytest.raises(BundleError, match=r"fovea-training.*make venv-training") as refused:
        import_published("clip", None, name="clip", out=tmp_path)

    assert "\n" not in str(refused.value)
