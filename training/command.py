"""The command line that the systems share: steps in order, the run's config, its data and its folder."""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import torch

from encoders.errors import BundleError, InvalidContent
from training.datasets.pictures import PictureError
from training.datasets.report import DatasetError
from training.device import device_of

REALDATA = Path("../shared/realdata")


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


def run_steps(
    document: str | None,
    steps: Mapping[str, Callable[[Options], None]],
    *,
    config: str,
    data: str,
    run: str,
    arguments: Sequence[str] | None = None,
) -> None:
    """Read the command line and take the steps that it names, in its order; every system's `main`."""
    parser = argparse.ArgumentParser(description=document, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="+", choices=list(steps), help="what to do, in order")
    parser.add_argument("--config", type=Path, default=Path("training/configs") / config)
    parser.add_argument("--data", type=Path, default=Path("data/world") / data, help="the dataset, as published")
    parser.add_argument("--run", type=Path, default=Path("data/training") / run, help="folder of this run's files")
    parser.add_argument("--out", type=Path, default=Path("models"), help="folder of the bundles to write")
    parser.add_argument("--realdata", type=Path, default=REALDATA, help="folder of openly licensed photos")
    parser.add_argument("--start", type=Path, help="a checkpoint whose weights to begin with")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 …")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of torch")
    parser.add_argument("--allow-incomplete", action="store_true", help="use what is right of a faulty dataset")
    options = parser.parse_args(arguments)

    torch.set_num_threads(options.threads)
    said = Options(
        config=options.config,
        data=options.data,
        run=options.run,
        out=options.out,
        realdata=options.realdata,
        start=options.start,
        device=device_of(options.device),
        allow_incomplete=options.allow_incomplete,
    )
    for step in options.steps:
        with one_line(f"{parser.prog} {step}"):
            steps[step](said)


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
    except (ValueError, PictureError, InvalidContent, BundleError, UnpicklingError) as error:
        raise SystemExit(f"{command}: {' '.join(str(error).split())}") from error
