"""Owns what the general embedding brings to the runner."""

from collections.abc import Callable, Mapping
from pathlib import Path

from encoders.bundle import Bundle
from training.general.config import GeneralConfig
from training.general.evaluate import GROCERY, GeneralEvaluation
from training.general.export import NAME, export, regate
from training.general.task import JointTask
from training.general.teacher_trial import trial
from training.general.train import joint_task, prepare, train_content
from training.photos import grocery_photos
from training.runner import Options, System


class GeneralSystem(System[GeneralConfig]):
    """Openly licensed photos and drawn objects, a network with a part for colours, and the bundle of an encoder."""

    name = "general"
    config = GeneralConfig
    bundles = (NAME,)

    def steps(self) -> Mapping[str, Callable[[GeneralConfig, Options], None]]:
        steps = super().steps()
        shared = {name: steps[name] for name in ("train", "export", "regate", "evaluate")}
        return {"prepare": self.draw, **shared, "trial": self.trial}

    def draw(self, config: GeneralConfig, options: Options) -> None:
        prepare(config, options.realdata, options.run)

    def draw_held_out(self, config: GeneralConfig, data: Path, realdata: Path) -> None:
        # A link to the photos, which are not drawn, so that no file is copied.
        data.mkdir(parents=True, exist_ok=True)
        if not (data / GROCERY).exists():
            (data / GROCERY).symlink_to((realdata / GROCERY).resolve(strict=True))

    def task(self, config: GeneralConfig, options: Options) -> JointTask:
        return joint_task(config, options.realdata, options.run)

    def train(self, config: GeneralConfig, options: Options) -> None:
        train_content(config, options.realdata, options.run, options.device)
        super().train(config, options)

    def export(self, config: GeneralConfig, options: Options) -> tuple[Bundle, ...]:
        return (export(options.run, options.realdata, options.out),)

    def regate(self, config: GeneralConfig, options: Options) -> tuple[Bundle, ...]:
        return (regate(options.out, options.realdata),)

    def evaluate(self, config: GeneralConfig, options: Options) -> None:
        self.draw_held_out(config, options.data, options.realdata)
        super().evaluate(config, options)

    def evaluation(self, config: GeneralConfig, data: Path, *, allow_incomplete: bool = False) -> GeneralEvaluation:
        return GeneralEvaluation(grocery_photos(data / GROCERY, "val"))

    def trial(self, config: GeneralConfig, options: Options) -> None:
        """Train short, with the teacher and without it."""
        trial(config, options.realdata, options.run, options.device)
