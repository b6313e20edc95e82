"""The general image embedding: any photo in, 512 numbers out.

The first stage learns content, the second puts the colours beside it:

    python -m training.general prepare train --config training/configs/general_start.toml --run data/training/general_start
    python -m training.general prepare train export --start data/training/general_start/checkpoint.pt

`prepare` cuts the views and runs the teacher once, `train` writes a line of log.csv each epoch, `export` gates the
checkpoint and writes the bundle. `regate` makes the smaller precisions of a bundle whose checkpoint is gone.
"""

import torch

from training.command import Options, run_steps
from training.config import read_config
from training.general import train as training
from training.general.export import export, regate
from training.general.train import GeneralConfig

NAME = "general"


def _prepare(options: Options) -> None:
    config = read_config(options.config, GeneralConfig)
    training.prepare(config, options.realdata, options.run, threads=torch.get_num_threads())


def _train(options: Options) -> None:
    training.train(read_config(options.config, GeneralConfig), options.realdata, options.run, start=options.start)


def _export(options: Options) -> None:
    bundle = export(options.run, options.realdata, options.out / NAME)
    print(f"{bundle.folder}: {dict(bundle.gate)}")


def _regate(options: Options) -> None:
    bundle = regate(options.out / NAME, options.realdata)
    print(f"{bundle.folder}: {dict(bundle.gate)}")


if __name__ == "__main__":
    run_steps(
        __doc__,
        {"prepare": _prepare, "train": _train, "export": _export, "regate": _regate},
        config="general.toml",
        data=NAME,
        run=NAME,
    )
