"""Owns the reading of a run's file in `training/configs/` into a frozen dataclass."""

import tomllib
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

Config = TypeVar("Config")


def read_config(path: Path, kind: type[Config]) -> Config:
    """Read a TOML file into `kind`, whose fields name every key; an unknown or a missing key is a ValueError."""
    try:
        return build(kind, tomllib.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def build(kind: type[Config], table: dict[str, Any]) -> Config:
    """Make a `kind`, nested ones too, from a table such as a file or a checkpoint holds."""
    known = {_key(item): item for item in fields(kind)}  # type: ignore[arg-type]  # a dataclass by contract
    if unknown := table.keys() - known.keys():
        raise ValueError(f"{kind.__name__} has no {sorted(unknown)}, only {sorted(known)}")
    needed = {key for key, item in known.items() if item.default is MISSING and item.default_factory is MISSING}
    if missing := needed - table.keys():
        raise ValueError(f"{kind.__name__} needs {sorted(missing)}")
    hints = get_type_hints(kind)
    values = {known[key].name: value for key, value in table.items()}
    return kind(
        **{
            name: build(hints[name], value) if is_dataclass(hints[name]) else _frozen(value)
            for name, value in values.items()
        }
    )


def table_of(config: Any) -> dict[str, Any]:
    """The table that `build` makes this dataclass from, for checkpoints."""
    values = {_key(item): getattr(config, item.name) for item in fields(config)}
    return {key: table_of(value) if is_dataclass(value) else value for key, value in values.items()}


def _key(item: Field[Any]) -> str:
    """What files and checkpoints call a field: the `key` of its metadata where the code has renamed it since."""
    return str(item.metadata.get("key", item.name))


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
