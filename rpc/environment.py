"""Settings out of the environment: what is wrong with them is said in a line each, with what to write instead."""

import json
import os
import sys
from collections.abc import Iterator
from typing import TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsError

_Settings = TypeVar("_Settings", bound=BaseSettings)


def read_settings(kind: type[_Settings]) -> _Settings:
    """The settings of this process; ends it with a line for each variable that cannot be used."""
    try:
        return kind()
    except SettingsError:
        sys.exit("\n".join(_no_json(kind)))
    except ValidationError as error:
        sys.exit("\n".join(_invalid(kind, error)))


def _no_json(kind: type[BaseSettings]) -> Iterator[str]:
    """A line for each variable that is not a JSON list, with the list that was probably meant."""
    given = {name.upper(): value for name, value in os.environ.items()}
    for field, description in kind.model_fields.items():
        variable = _variable(kind, field)
        if variable in given and "tuple" in str(description.annotation) and not _is_json(given[variable]):
            parts = [part.strip() for part in given[variable].split(",") if part.strip()]
            yield f"{variable} is not a JSON list: write {variable}='{json.dumps(parts, ensure_ascii=False)}'"


def _invalid(kind: type[BaseSettings], error: ValidationError) -> Iterator[str]:
    """A line for each variable that pydantic refuses; without its value, which may be a secret."""
    for complaint in error.errors(include_url=False, include_input=False):
        field = str(complaint["loc"][0]) if complaint["loc"] else ""
        meaning = kind.model_fields[field].description if field in kind.model_fields else ""
        yield f"{_variable(kind, field)} cannot be used: {complaint['msg']}. {meaning}".rstrip()


def _variable(kind: type[BaseSettings], field: str) -> str:
    return f"{kind.model_config['env_prefix']}{field}".upper()


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
