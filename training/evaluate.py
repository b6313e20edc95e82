"""Evaluates the bundles that ship, through a running Fovea, on images that training never saw.

python -m training.evaluate [pedestrians cars …] [--sheets docs/systems]

Prints one table, figures asked through the RPCs beside the same in this process, and writes docs/results/evaluation.json.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from encoders.bundle import Bundle
from training.cars.system import CarsSystem
from training.config import read_config
from training.evaluation import Evaluation
from training.everyday_objects import EverydayObjects
from training.general.system import GeneralSystem
from training.joint_space.evaluate import JointSpaceEvaluation
from training.lopq.evaluate import lopq_recall
from training.objects.system import ObjectsSystem
from training.pedestrians.system import PedestriansSystem
from training.runner import CONFIGS, REALDATA, System, one_line
from training.serving import served
from training.text_sketch.system import TextSketchSystem

MODELS = Path("models")
RESULTS = Path("docs/results/evaluation.json")
# Offline and online may differ by so much: JPEGs are decoded by one code, but batches round differently.
MOST_DIFFERENCE = 0.005

Figures = Mapping[str, float]


SYSTEMS: dict[str, System[Any]] = {
    system.name: system
    for system in (PedestriansSystem(), TextSketchSystem(), CarsSystem(), ObjectsSystem(), GeneralSystem())
}
LOPQ = "lopq"
EVERYDAY_OBJECTS, JOINT_SPACE = "everyday_objects", "joint_space"
# The sheets of systems whose bundles have other names.
SHEETS = {"general": "general-2", JOINT_SPACE: "general", EVERYDAY_OBJECTS: "objects_photos"}


class EvaluationError(Exception):
    """What is served does not say what the bundles say."""


def evaluate(
    names: Sequence[str], *, data: Path, realdata: Path, sheets: Path | None
) -> dict[str, dict[str, dict[str, float]]]:
    """Measure the systems of these names: for each its `online` and `offline` figures and the `seconds` it took."""
    found = {}
    with served() as running:
        for name in names:
            started = time.monotonic()
            test = _test(name, data / name, realdata)
            offline, online = test.offline(MODELS), test.online(running)
            _require_agreement(name, online, offline)
            if sheets:
                test.draw_sheet(running, sheets / f"{SHEETS.get(name, name)}.jpg")
            found[name] = {"online": online, "offline": offline, "seconds": {"all": time.monotonic() - started}}
    return found


def _test(name: str, data: Path, realdata: Path) -> Evaluation | JointSpaceEvaluation | EverydayObjects:
    """What measures the bundles of a system, with its held-out images."""
    if name == JOINT_SPACE:
        return JointSpaceEvaluation(realdata)
    if name == EVERYDAY_OBJECTS:
        return EverydayObjects.read(realdata)
    system = SYSTEMS[name]
    config = read_config(CONFIGS / f"{name}.toml", system.config)
    system.draw_held_out(config, data, realdata)
    return system.evaluation(config, data)


def _require_agreement(name: str, online: Figures, offline: Figures) -> None:
    for figure, share in online.items():
        if abs(share - offline[figure]) > MOST_DIFFERENCE:
            raise EvaluationError(f"{name} {figure} is {share:.4f} when served, {offline[figure]:.4f} in this process.")


def show(found: Mapping[str, Mapping[str, Figures]]) -> None:
    """Print the figures as one table."""
    table = Table("system", "figure", "online", "offline")
    for column in table.columns[2:]:
        column.justify = "right"
    for name, figures in found.items():
        for figure, share in figures["online"].items():
            beside = figures["offline"].get(figure)
            table.add_row(name, figure, f"{share:.4f}", "" if beside is None else f"{beside:.4f}")
        table.add_section()
    Console(width=100).print(table)


def write(found: Mapping[str, Mapping[str, Figures]], path: Path) -> None:
    """Write what was asked through the RPCs by system, beside what it was asked of; other systems' figures stay."""
    known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for name, figures in found.items():
        known[name] = {figure: round(share, 4) for figure, share in figures["online"].items()}
    known["about"] = {
        "command": "make evaluate",
        "machine": f"{os.cpu_count()} x {platform.machine()}, Python {platform.python_version()}",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "bundles": {
            bundle.name: {precision: file.sha256 for precision, file in bundle.precisions.items()}
            for bundle in (Bundle.load(folder.parent) for folder in sorted(MODELS.glob("*/bundle.json")))
        },
    }
    path.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Evaluate what the command line names; everything where it names nothing."""
    names = [*SYSTEMS, EVERYDAY_OBJECTS, JOINT_SPACE, LOPQ]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("systems", nargs="*", metavar="SYSTEM", help=f"of {', '.join(names)}; default: all")
    parser.add_argument("--data", type=Path, default=Path("data/evaluation"), help="folder of the held-out images")
    parser.add_argument("--realdata", type=Path, default=REALDATA, help="folder of openly licensed photos")
    parser.add_argument("--sheets", type=Path, help="folder to draw sample queries into")
    options = parser.parse_args()
    asked = options.systems or names
    if unknown := set(asked) - set(names):
        parser.error(f"no system is called {min(unknown)}; choose of {', '.join(names)}")

    data, realdata = options.data, options.realdata
    with one_line(parser.prog):
        found = evaluate([name for name in asked if name != LOPQ], data=data, realdata=realdata, sheets=options.sheets)
        if LOPQ in asked:
            found[LOPQ] = {"online": lopq_recall(MODELS / "general-2", realdata, data / LOPQ), "offline": {}}
    show(found)
    write(found, RESULTS)


if __name__ == "__main__":
    main()
