"""The general image embedding: any photo in, 320 numbers out.

    python -m training.general prepare train export evaluate

`prepare` cuts the views of the photos and of drawn objects and runs the teacher once. `train` learns content first, then
puts the colours beside it, each with a line of log.csv an epoch, and goes on where it was cut off. `export` gates the
averaged weights and writes the bundle, `evaluate` serves it. `regate` makes the smaller precisions of a bundle whose
checkpoint is gone. `trial` tells, after `prepare`, whether the teacher helps with what was never trained on.
"""

from training.command import Options, run_steps
from training.config import read_config
from training.general import evaluate as evaluation
from training.general import train as training
from training.general.config import GeneralConfig
from training.general.export import NAME, export, regate
from training.general.teacher_trial import trial
from training.serving import served


def _prepare(options: Options) -> None:
    training.prepare(_config(options), options.realdata, options.run)


def _train(options: Options) -> None:
    config = _config(options)
    training.train_content(config, options.realdata, options.run, options.device)
    training.train_joint(config, options.realdata, options.run, options.device)


def _export(options: Options) -> None:
    bundle = export(options.run, options.realdata, options.out)
    print(f"{bundle.folder}: {dict(bundle.gate)}")


def _evaluate(options: Options) -> None:
    evaluation.prepare(options.data, options.realdata)
    print(f"offline: {evaluation.offline(options.out, options.data)}")
    with served(options.out / NAME) as running:
        print(f"online: {evaluation.online(running, options.data)}")
        evaluation.sheet(running, options.data, options.run / "sheet.jpg")


def _regate(options: Options) -> None:
    bundle = regate(options.out, options.realdata)
    print(f"{bundle.folder}: {dict(bundle.gate)}")


def _trial(options: Options) -> None:
    trial(_config(options), options.realdata, options.run, options.device)


def _config(options: Options) -> GeneralConfig:
    return read_config(options.config, GeneralConfig)


if __name__ == "__main__":
    run_steps(
        __doc__,
        {
            "prepare": _prepare,
            "train": _train,
            "export": _export,
            "evaluate": _evaluate,
            "regate": _regate,
            "trial": _trial,
        },
        config="general.toml",
        data=NAME,
        run=NAME,
    )
