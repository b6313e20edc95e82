from pathlib import Path

import pytest

from encoders.errors import BundleError
from encoders.importers.apart import import_apart
from tests.support.crashing_importer import crash


def test_an_import_that_dies_costs_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    """A model that crashes its process is refused; the folder that was begun is deleted, others are not."""
    (tmp_path / ".importing-another").mkdir()

    with pytest.raises(BundleError, match="ended the process that tried it") as refused:
        import_apart(crash, "kill", out=tmp_path, name="mine")

    assert "\n" not in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == [".importing-another"]


def test_a_refusal_and_a_result_come_through(tmp_path: Path) -> None:
    """What the importer raises or returns is the caller's."""
    with pytest.raises(BundleError, match=r"No such thing\."):
        import_apart(crash, "refuse", out=tmp_path, name="mine")

    assert import_apart(crash, "finish", out=tmp_path, name="mine") == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
