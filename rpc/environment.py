"""Settings from the environment, and a line for each variable that cannot be used, with what to write instead."""

import json
import os
import re
import sys
from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

_Settings = TypeVar("_Settings", bound=BaseSettings)

_SERVICE_LINK = re.compile(r"(tcp|udp|sctp)://.*")


class ProcessSettings(BaseSettings):
    """The settings of one process, which come from variables and from nothing else.

    For a Service named `fovea-gateway` Kubernetes sets FOVEA_GATEWAY_PORT=tcp://10.0.0.1:80 in every pod of its
    namespace. Such a service link is not a setting: it counts as absent.
    """

    model_config = SettingsConfigDict(frozen=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *_: Any,
        **__: Any,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The arguments of the class first, then the variables."""
        return init_settings, _OwnVariables(settings_cls)


class _OwnVariables(EnvSettingsSource):
    """The environment without service links."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        value, name, is_complex = super().get_field_value(field, field_name)
        is_link = field_name.endswith("port") and isinstance(value, str) and _SERVICE_LINK.fullmatch(value)
        return (None if is_link else value), name, is_complex


def read_settings(kind: type[_Settings]) -> _Settings:
    """The settings of this process; ends it with a line for each variable that cannot be used."""
    try:
        return kind()
    except SettingsError:
        sys.exit("\n".join(_not_json(kind)))
    except ValidationError as error:
        sys.exit("\n".join(_invalid(kind, error)))


def _not_json(kind: type[BaseSettings]) -> Iterator[str]:
    """A line for each variable that is not a JSON list, with the list that was probably intended."""
    given = {name.upper(): value for name, value in os.environ.items()}
    for field, description in kind.model_fields.items():
        variable = _variable(kind, field)
        if variable not in given or "tuple" not in str(description.annotation):
            continue
        try:
            json.loads(given[variable])
        except ValueError:
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
