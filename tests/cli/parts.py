"""What the tests of the supervisor's parts share: programs of a line of Python, and probes."""

import sys

from cli.child import Program


async def never() -> bool:
    """A probe that is never content."""
    return False


async def always() -> bool:
    """A probe that is content at once."""
    return True


async def nothing() -> None:
    """What happens when nobody wants to know."""


def script(name: str, code: str, **changed: object) -> Program:
    """A program made of a line of Python."""
    described: dict[str, object] = {
        "is_ready": always,
        "is_alive": always,
        "rank": 0,
        "patience_s": 1.0,
        "address": "",
    } | changed
    return Program(name=name, argv=(sys.executable, "-S", "-c", code), **described)  # type: ignore[arg-type]
