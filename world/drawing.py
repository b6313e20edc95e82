"""Draws many images by all cores; what is drawn depends on neither their number nor the order in which they end."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from rich.progress import track

Thing = TypeVar("Thing")
Drawn = TypeVar("Drawn")
# A process takes about two seconds to start, in which one draws some fifty images.
FEWEST = 100


def drawn(draw: Callable[[Thing], Drawn], things: Sequence[Thing], description: str) -> Iterator[Drawn]:
    """What `draw` makes of each thing, in order, with a progress bar; `draw` is a function of a module, or a partial."""
    if len(things) < FEWEST:
        yield from track(map(draw, things), description, total=len(things))
        return
    # Spawned, not forked: torch's threads do not survive a fork.
    with multiprocessing.get_context("spawn").Pool(initializer=_end_with_parent) as pool:
        yield from track(pool.imap(draw, things, chunksize=4), description, total=len(things))


def _end_with_parent() -> None:
    """End with the parent, even a killed one; the pool would otherwise go on drawing."""
    threading.Thread(target=_exit_after_parent, daemon=True).start()


def _exit_after_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
