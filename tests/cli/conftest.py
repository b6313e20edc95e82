from pathlib import Path

import pytest

from cli.data_folder import DataFolder


@pytest.fixture
def data(tmp_path: Path) -> DataFolder:
    """A fresh data folder."""
    folder = DataFolder(tmp_path / "data")
    folder.make()
    return folder
