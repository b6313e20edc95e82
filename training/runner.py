"""Owns how a system is run: what it brings, the steps of every run, and the command line that names them."""

import argparse
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Generic, Protocol, TypeVar

import torch

from encoders.bundle import Bundle
from encoders.errors import BundleError, InvalidContent
from training.config import read_config, table_of
from training.datasets.report import DatasetError
from training.decoded import ImageError
from training.evaluation import Evaluation
from training.loop import Task, fit
from training.optimiser import OptimiserConfig
from training.serving import served

CONFIGS = Path(__file__).parent / "configs"
REALDATA = Path("../shared/realdata")


class RunConfig(Protocol):
    """What the runner reads of every config."""

    @property
    def seed(self) -> int: ...

    @property
    def optimiser(self) -> OptimiserConfig: ...


Config = TypeVar("Config", bound=RunConfig)


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line said; every system reads what it needs."""

    config: Path
    data: Path
    run: Path
    out: Path
    realdata: Path
    start: Path | None
    device: torch.device
    allow_incomplete: bool


class System(ABC, Generic[Config]):
    """What one system brings; its name is that of its module, its config file, and its folders of data and runs."""

    name: str
    config: type[Config]
    bundles: tuple[str, ...]

    @abstractmethod
    def draw(self, config: Config, options: Options) -> None:
        """Write the whole dataset, drawn, to `options.data` in its published layout."""

    @abstractmethod
    def draw_held_out(self, config: Config, data: Path, realdata: Path) -> None:
        """Write the test split of the shipped bundles to `data`, where it is not there yet."""

    @abstractmethod
    def task(self, config: Config, options: Options) -> Task:
        """Read the data, and build the network with its batches and its loss."""

    @abstractmethod
    def export(self, config: Config, options: Options) -> Iterable[Bundle]:
        """Pass the run's averaged weights through the gate, into bundles below `options.out`."""

    @abstractmethod
    def regate(self, config: Config, options: Options) -> Iterable[Bundle]:
        """Write the smaller precisions of the bundles below `options.out` anew, from their fp32 files."""

    @abstractmethod
    def evaluation(self, config: Config, data: Path, *, allow_incomplete: bool = False) -> Evaluation:
        """The test split, read."""

    def steps(self) -> Mapping[str, Callable[[Config, Options], None]]:
        """What the command can do, by the words that name it."""
        return {
            "draw": self.draw,
            "train": self.train,
            "export": self.write_bundles,
            "regate": self.write_precisions,
            "evaluate": self.evaluate,
        }

    def train(self, config: Config, options: Options) -> None:
        """Train, or go on where the run was cut off."""
        # Before the task is built: fresh weights come from the global generator.
        torch.manual_seed(config.seed)
        task = self.task(config, options).to(options.device)
        fit(task, config.optimiser, options.run, config=table_of(config), seed=config.seed)

    def write_bundles(self, config: Config, options: Options) -> None:
        """Export, and print each bundle with its figures."""
        for bundle in self.export(config, options):
            print(f"{bundle.folder}: {dict(bundle.gate)}")

    def write_precisions(self, config: Config, options: Options) -> None:
        """Gate the bundles again, on the test split of those that ship where no data are given, and print the figures."""
        self.draw_held_out(config, options.data, options.realdata)
        for bundle in self.regate(config, options):
            print(f"{bundle.folder}: {dict(bundle.gate)}")

    def evaluate(self, config: Config, options: Options) -> None:
        """Measure the bundles in this process and through the RPCs, and draw the sheet."""
        test = self.evaluation(config, options.data, allow_incomplete=options.allow_incomplete)
        print(f"offline: {_shown(test.offline(options.out))}")
        with served(*self.served_bundles(options.out)) as running:
            print(f"online: {_shown(test.online(running))}")
            test.draw_sheet(running, options.run / "sheet.jpg")

    def served_bundles(self, out: Path) -> list[Path]:
        """The bundles that an evaluation needs."""
        return [out / name for name in self.bundles]


def run(system: System[Any], document: str | None, arguments: Sequence[str] | None = None) -> None:
    """Read the command line and take the steps that it names, in its order; every system's `main`."""
    steps = system.steps()
    parser = argparse.ArgumentParser(description=document, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="+", choices=list(steps), help="what to do, in order")
    parser.add_argument("--config", type=Path, default=CONFIGS / f"{system.name}.toml")
    parser.add_argument("--data", type=Path, default=Path("data/world") / system.name, help="the dataset, as published")
    parser.add_argument("--run", type=Path, default=Path("data/training") / system.name, help="folder of the run")
    parser.add_argument("--out", type=Path, default=Path("models"), help="folder of the bundles to write")
    parser.add_argument("--realdata", type=Path, default=REALDATA, help="folder of openly licensed photos")
    parser.add_argument("--start", type=Path, help="a checkpoint whose weights to begin with")
    parser.add_argument("--device", type=_device, default="auto", help="auto, cpu, cuda, cuda:1 …")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of torch")
    parser.add_argument("--allow-incomplete", action="store_true", help="use what is right of a faulty dataset")
    said = vars(parser.parse_args(arguments))

    torch.set_num_threads(said.pop("threads"))
    names, options = said.pop("steps"), Options(**said)
    for name in names:
        with one_line(f"{parser.prog} {name}"):
            steps[name](read_config(options.config, system.config), options)


@contextmanager
def one_line(command: str) -> Iterator[None]:
    """End the command with one sentence for what is wrong with its data, its config or its files."""
    try:
        yield
    except DatasetError as error:
        advice = "repair the dataset, or pass --allow-incomplete to use the rest"
        shown = " ".join(error.report.summary(first=1).split())
        raise SystemExit(f"{command}: {shown} To go on: {advice}.") from error
    except OSError as error:
        shown = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        raise SystemExit(f"{command}: {shown}") from error
    except (ValueError, ImageError, InvalidContent, BundleError, UnpicklingError) as error:
        raise SystemExit(f"{command}: {' '.join(str(error).split())}") from error


def _device(name: str) -> torch.device:
    """`auto` is a CUDA GPU where there is one, else the CPU; other names are torch's own."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def _shown(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {share:.4f}" for name, share in figures.items())
