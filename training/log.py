"""Owns a run's log: a line of figures for each epoch in `log.csv`, and their curves in `curves.png`."""

import csv
from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

# Draws to files, where there is no screen.
mpl.use("Agg")


class Log:
    """The first line names the columns; every epoch writes the same ones, `epoch` first."""

    def __init__(self, run: Path, *, keep_epochs: int) -> None:
        """Go on with a log of `keep_epochs` lines; what a cut-off run wrote behind its last checkpoint is dropped."""
        self._csv, self._png = run / "log.csv", run / "curves.png"
        self._rows: list[dict[str, float]] = []
        if keep_epochs and self._csv.exists():
            with self._csv.open(encoding="utf-8", newline="") as file:
                self._rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
            self._rows = self._rows[:keep_epochs]

    def write(self, row: Mapping[str, float]) -> None:
        """Add an epoch's line, and draw the curves anew."""
        self._rows.append({name: float(f"{value:.5g}") for name, value in row.items()})
        with self._csv.open("w", encoding="utf-8", newline="") as file:
            lines = csv.DictWriter(file, list(row))
            lines.writeheader()
            lines.writerows({name: f"{value:g}" for name, value in kept.items()} for kept in self._rows)
        self._draw()

    def _draw(self) -> None:
        names = [name for name in self._rows[-1] if name not in {"epoch", "seconds"}]
        figure = Figure(figsize=(3.2 * len(names), 2.6), layout="constrained")
        epochs = [row["epoch"] for row in self._rows]
        for place, name in enumerate(names, start=1):
            axes = figure.add_subplot(1, len(names), place)
            axes.plot(epochs, [row[name] for row in self._rows], marker=".")
            axes.set(title=name, xlabel="epoch")
            axes.grid(alpha=0.3)
        figure.savefig(self._png, dpi=110)
