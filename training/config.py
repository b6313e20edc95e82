"""Owns the reading of a run's file in `training/configs/` into a frozen dataclass."""

import tomllib
from dataclasses import MISSING, fields, is_dataclass
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
    known = fields(kind)  # type: ignore[arg-type]  # a dataclass by contract
    if unknown := table.keys() - {field.name for field in known}:
        raise ValueError(f"{kind.__name__} has no {sorted(unknown)}, only {sorted(field.name for field in known)}")
    needed = {field.name for field in known if field.default is MISSING and field.default_factory is MISSING}
    if missing := needed - table.keys():
        raise ValueError(f"{kind.__name__} needs {sorted(missing)}")
    hints = get_type_hints(kind)
    return kind(
        **{
            name: build(hints[name], value) if is_dataclass(hints[name]) else _frozen(value)
            for name, value in table.items()
        }
    )


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
