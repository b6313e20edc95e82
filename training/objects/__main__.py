"""The object detector: any picture in, boxes of thirteen drawn kinds out.

    python -m training.objects prepare train export

`prepare` draws the scenes, `train` writes a line of log.csv each epoch, `export` gates the checkpoint and writes the
bundle. `regate` makes the smaller precisions of a bundle whose checkpoint is gone.
"""

from training.command import Options, run_steps
from training.config import read_config
from training.objects import train as training
from training.objects.export import export, regate
from training.objects.train import DetectorConfig

NAME = "detector"


def _prepare(options: Options) -> None:
    training.prepare(read_config(options.config, DetectorConfig), options.realdata, options.run)


def _train(options: Options) -> None:
    training.train(read_config(options.config, DetectorConfig), options.run)


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
        config="detector.toml",
        data=NAME,
        run=NAME,
    )
