"""Settings from the environment, which Kubernetes writes into as well."""

import re
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

_SERVICE_LINK = re.compile(r"(tcp|udp|sctp)://.*")


class ProcessSettings(BaseSettings):
    """What one process can be told, by variables and by nothing else.

    For a Service named `fovea-gateway` Kubernetes sets FOVEA_GATEWAY_PORT=tcp://10.0.0.1:80 in every pod of its
    namespace. Such a service link is nobody's setting: it counts as absent.
    """

    model_config = SettingsConfigDict(frozen=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's signature
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The arguments of the class first, then the variables."""
        return init_settings, _OwnVariables(settings_cls)


class _OwnVariables(EnvSettingsSource):
    """The environment without service links."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        value, name, is_complex = super().get_field_value(field, field_name)
        is_link = field_name.endswith("port") and isinstance(value, str) and _SERVICE_LINK.fullmatch(value)
        return (None if is_link else value), name, is_complex
