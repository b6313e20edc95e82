"""The names of collections in Milvus, and which of those with one public name is served.

    fovea_NAME       the collection as it was created
    fovea_NAME_R<generation>   its images in another space, built by a move to another encoder
    fovea_NAME_S<number>       a switch: no rows, its description names the collection that is served

The switch with the highest number decides; without one it is `fovea_NAME`. A switch is created and never changed, so the
creation of the next number is one atomic step, which all processes see. Public names have no capitals.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

PREFIX = "fovea_"

_HIDDEN = re.compile(r"([a-z][a-z0-9_]{0,62})_([RS])([0-9a-f]{1,16})")


@dataclass(frozen=True, slots=True)
class StoredNames:
    """The names, without the prefix, under which Milvus keeps one public name, whatever is left of it."""

    stores: tuple[str, ...] = ()
    switches: tuple[int, ...] = ()

    @property
    def last_switch(self) -> int:
        """The number of the switch that decides; 0 without one."""
        return max(self.switches, default=0)


def hidden_name(name: str, generation: str) -> str:
    """The name under which a collection is kept that a move builds."""
    return f"{name}_R{generation}"


def switch_name(name: str, number: int) -> str:
    """The name of a switch."""
    return f"{name}_S{number:x}"


def by_public_name(names: Iterable[str]) -> dict[str, StoredNames]:
    """What Milvus keeps, by public name."""
    found: dict[str, StoredNames] = {}
    for stored in sorted(names):
        match = _HIDDEN.fullmatch(stored)
        name = match[1] if match else stored
        known = found.get(name, StoredNames())
        if match and match[2] == "S":
            found[name] = StoredNames(known.stores, (*known.switches, int(match[3], 16)))
        else:
            found[name] = StoredNames((*known.stores, stored), known.switches)
    return found
