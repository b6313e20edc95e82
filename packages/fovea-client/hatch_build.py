"""Puts the contract's package into a wheel; an editable install reads it where it stands."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ContractPackage(BuildHookInterface[Any]):
    """Adds `fovea`, which stands outside of this folder, where it is needed.

    The setting `force-include` would copy it into editable installs too, where the copy grows old and hides the original.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """`version` is `standard` or `editable`."""
        if version == "standard":
            build_data["force_include"]["../../protos/fovea"] = "fovea"
