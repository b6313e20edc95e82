import os

from training.world.drawing import FEWEST, drawn


def _squared(number: int) -> tuple[int, int]:
    """What a process makes of a number, and the process."""
    return number**2, os.getpid()


def test_few_things_are_drawn_here_and_many_by_other_processes() -> None:
    """In order both ways: what is drawn does not depend on who draws."""
    few, many = list(drawn(_squared, range(3), "few")), list(drawn(_squared, range(FEWEST), "many"))

    assert few == [(0, os.getpid()), (1, os.getpid()), (4, os.getpid())]
    assert [square for square, _ in many] == [number**2 for number in range(FEWEST)]
    assert os.getpid() not in {process for _, process in many}
