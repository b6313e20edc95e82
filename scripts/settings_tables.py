"""Writes the tables of docs/settings.md from the settings classes.

python scripts/settings_tables.py
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from gateway.settings import GatewaySettings
from rpc.security.settings import SecuritySettings
from rpc.settings import ServerSettings
from services.encoder.settings import EncoderSettings
from services.ingest.settings import IngestSettings
from services.search.settings import SearchSettings

PAGE = Path(__file__).resolve().parents[1] / "docs" / "settings.md"
PROCESSES: tuple[type[BaseSettings], ...] = (
    EncoderSettings,
    SearchSettings,
    IngestSettings,
    GatewaySettings,
    SecuritySettings,
)

_SHARED_PREFIX = "FOVEA_<process>_"


def tables() -> dict[str, str]:
    """Each table by the name in the comment that marks it in the page."""
    found = {"shared": _table(_SHARED_PREFIX, ServerSettings.model_fields.items())}
    for settings in PROCESSES:
        prefix = str(settings.model_config["env_prefix"])
        found[prefix] = _table(prefix, _own_fields(settings))
    return found


def with_tables(page: str) -> str:
    """The page with every table as the classes have it now."""
    for name, table in tables().items():
        start, end = f"<!-- settings {name} -->\n", "<!-- end -->"
        before, _, rest = page.partition(start)
        _, _, after = rest.partition(end)
        page = f"{before}{start}\n{table}\n{end}{after}"
    return page


def _own_fields(settings: type[BaseSettings]) -> Iterator[tuple[str, FieldInfo]]:
    """The fields that the process adds to the shared ones, or gives another default."""
    for name, field in settings.model_fields.items():
        shared = ServerSettings.model_fields.get(name) if issubclass(settings, ServerSettings) else None
        if shared is None or shared.default != field.default:
            yield name, field


def _table(prefix: str, fields: Iterable[tuple[str, FieldInfo]]) -> str:
    rows = [f"| `{prefix}{name.upper()}` | {_default(field)} | {field.description} |" for name, field in fields]
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *rows, ""])


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value: Any = field.default
    if value is None or value in ("", ()):
        return "none"
    written = json.dumps(value) if isinstance(value, tuple | bool) else str(value)
    return f"`{written}`"


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
