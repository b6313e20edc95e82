"""A bounded amount that requests hold shares of: places to work in, followers, bytes of bodies."""

from typing import Self


class Budget:
    """An amount with one owner. It refuses instead of waiting, so that no two requests can wait for each other."""

    def __init__(self, total: int) -> None:
        self.free = total

    def share(self) -> "Share":
        """An empty share; use it as a context manager."""
        return Share(self)


class Share:
    """What one request holds of a budget, given back at the end of the block at the latest."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._held = 0

    def grow(self, amount: int) -> bool:
        """Adds to the share; False, and nothing is added, where the budget has less left."""
        if amount > self._budget.free:
            return False
        self._budget.free -= amount
        self._held += amount
        return True

    def release(self) -> None:
        """Gives everything back; a second time does nothing."""
        self._budget.free += self._held
        self._held = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
