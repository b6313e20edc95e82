"""A system is read like a recipe: few files lie between its command and its loss."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from training.evaluate import SYSTEMS

ROOT = Path(__file__).parents[2]
# Steps that come before and after the training, and weights of others to begin with.
OTHER_STEPS = ("draw", "start", "export", "evaluate", "teacher_trial")
EVALUATION = ("training.evaluation", "training.serving", "training.sheet")


def imports(module: str) -> Iterator[str]:
    """The modules of training that a module names."""
    for node in ast.walk(ast.parse(_file(module).read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (name for name in (node.module, *(f"{node.module}.{item.name}" for item in node.names)))
        elif isinstance(node, ast.Import):
            yield from (item.name for item in node.names)


def _file(module: str) -> Path:
    return ROOT / f"{module.replace('.', '/')}.py"


@pytest.mark.parametrize("system", SYSTEMS)
def test_fewer_than_25_files_from_command_to_loss(system: str) -> None:
    """Config, data, network, task, loop and loss, with all that they import of training."""
    skipped = {*EVALUATION, *(f"training.{system}.{step}" for step in OTHER_STEPS)}
    opened, ahead = set[str](), [f"training.{system}.__main__"]
    while ahead:
        module = ahead.pop()
        if module.startswith("training.") and module not in opened | skipped and _file(module).exists():
            opened.add(module)
            ahead += imports(module)

    assert {"training.loop", f"training.{system}.task", f"training.{system}.config"} <= opened
    assert len(opened) < 25, sorted(opened)
