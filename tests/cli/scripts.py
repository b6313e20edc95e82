"""Programs of a line of Python, and probes, for the tests of the supervisor and its children."""

import sys

from cli.child_process import Program
from cli.probes import Probe


async def never() -> bool:
    """A probe that is always answered with no."""
    return False


async def always() -> bool:
    """A probe that is always answered with yes."""
    return True


async def nothing() -> None:
    """What happens after a restart where no other command reads `run.json`."""


def recorded(probe: Probe, answers: list[bool]) -> Probe:
    """The probe, with every answer added to a list."""

    async def ask() -> bool:
        answers.append(await probe())
        return answers[-1]

    return ask


def script(name: str, code: str, **changed: object) -> Program:
    """A program made of a line of Python."""
    described: dict[str, object] = {
        "is_ready": always,
        "is_alive": always,
        "rank": 0,
        "stop_timeout_s": 1.0,
        "address": "",
    } | changed
    return Program(name=name, argv=(sys.executable, "-S", "-c", code), **described)  # type: ignore[arg-type]
