"""The names of collections in Milvus: which of those with one public name is served, and what its public name is.

    fovea_NAME       the collection as it was created
    fovea_NAME_R<generation>   its images in another space, built by a move to another encoder
    fovea_NAME_S<number>       a switch: no rows, its description names the collection that is served
    fovea_NAME_N<number>_<public>   a label: no rows, what NAME is called from here on; its description has the display name

The switch with the highest number decides; without one it is `fovea_NAME`. So does the label; without one the public name is
NAME itself. Switches and labels are created and never changed, so each is one atomic step, which all processes see. What a
collection was called before finds it as long as no other one has that name. Public names have no capitals.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

PREFIX = "fovea_"

_NAME = r"[a-z][a-z0-9_]{0,62}"
_HIDDEN = re.compile(rf"({_NAME})_([RS])([0-9a-f]{{1,16}})")
_LABEL = re.compile(rf"({_NAME})_N([0-9a-f]{{1,16}})_({_NAME})")


@dataclass(frozen=True, slots=True)
class Label:
    """What a collection is called from a number on."""

    number: int
    name: str


@dataclass(frozen=True, slots=True)
class StoredNames:
    """The names, without the prefix, under which Milvus keeps one collection, whatever is left of it.

    `identity` is what it was created as; its names in the stores begin with it.
    """

    identity: str
    stores: tuple[str, ...] = ()
    switches: tuple[int, ...] = ()
    labels: tuple[Label, ...] = ()

    @property
    def last_switch(self) -> int:
        """The number of the switch that decides; 0 without one."""
        return max(self.switches, default=0)

    @property
    def label(self) -> Label:
        """The label that decides; number 0 and the identity without one."""
        return max(self.labels, key=lambda each: (each.number, each.name), default=Label(0, self.identity))

    @property
    def name(self) -> str:
        """The public name."""
        return self.label.name

    def was_called(self, name: str) -> bool:
        """Whether this is its public name, or was."""
        return name == self.identity or any(label.name == name for label in self.labels)


class NameTable:
    """All that Milvus keeps of all collections."""

    def __init__(self, names: Iterable[str]) -> None:
        self._stored: dict[str, StoredNames] = {}
        for name in sorted(names):
            self._add(name)

    def __iter__(self) -> Iterator[StoredNames]:
        return iter(self._stored.values())

    def of(self, identity: str) -> StoredNames:
        """What is kept under an identity, nothing where it is unknown."""
        return self._stored.get(identity, StoredNames(identity))

    def find(self, name: str) -> StoredNames:
        """The collection that has this public name; where none has, the only one that had it; else nothing."""
        if owner := self.owner(name):
            return owner
        former = [each for each in self if each.stores and each.was_called(name)]
        return former[0] if len(former) == 1 else StoredNames(name)

    def owner(self, name: str) -> StoredNames | None:
        """The collection that has this public name now."""
        return next((each for each in self if each.stores and each.name == name), None)

    def _add(self, name: str) -> None:
        if match := _LABEL.fullmatch(name):
            known = self.of(match[1])
            known = replace(known, labels=(*known.labels, Label(int(match[2], 16), match[3])))
        elif match := _HIDDEN.fullmatch(name):
            known = self.of(match[1])
            if match[2] == "S":
                known = replace(known, switches=(*known.switches, int(match[3], 16)))
            else:
                known = replace(known, stores=(*known.stores, name))
        else:
            known = self.of(name)
            known = replace(known, stores=(*known.stores, name))
        self._stored[known.identity] = known


def hidden_name(identity: str, generation: str) -> str:
    """The name under which a collection is kept that a move builds."""
    return f"{identity}_R{generation}"


def switch_name(identity: str, number: int) -> str:
    """The name of a switch."""
    return f"{identity}_S{number:x}"


def label_name(identity: str, label: Label) -> str:
    """The name of a label."""
    return f"{identity}_N{label.number:x}_{label.name}"


def identity_of(store_name: str) -> str:
    """What the collection that is kept under a name was created as."""
    match = _HIDDEN.fullmatch(store_name)
    return match[1] if match else store_name
