import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from training.config import build, read_config, table_of
from training.evaluate import SYSTEMS
from training.runner import CONFIGS


def keys(table: Mapping[str, Any], above: str = "") -> set[str]:
    """Every key of a table and of the tables in it."""
    nested = {f"{above}{key}.": value for key, value in table.items() if isinstance(value, Mapping)}
    return {f"{above}{key}" for key in table} | {key for name, value in nested.items() for key in keys(value, name)}


# The joint space trains nothing, so it has no checkpoint.
RUNS = sorted(path for path in CONFIGS.glob("*.toml") if not path.stem.startswith("joint_space"))


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_a_checkpoint_holds_the_keys_of_the_file(path: Path) -> None:
    """Renamed fields keep their keys, so that checkpoints and files of earlier versions stay readable."""
    kind = next(system.config for name, system in SYSTEMS.items() if path.stem.startswith(name))
    config = read_config(path, kind)
    table = table_of(config)

    assert build(kind, table) == config
    assert keys(tomllib.loads(path.read_text())) <= keys(table)
