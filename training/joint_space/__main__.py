"""One space for photos, words and drawings, made of published networks: the encoders `general`, `general-text`, `general-sketch`.

    python -m training.joint_space export evaluate calibrate

`export` fits the head to openly licensed photos and writes the three bundles, `evaluate` measures them on photos never
learnt from, beside MobileNetV2 and a random order, and `calibrate` writes into them what their scores say. Nothing is trained: the config says how the networks' answers are put
together.
"""

import argparse
from pathlib import Path

from encoders.bundle import Bundle
from training.config import read_config
from training.joint_space.calibrate import calibrate, write_calibrations
from training.joint_space.config import JointSpaceConfig
from training.joint_space.domains import held_out_domains
from training.joint_space.evaluate import InProcessAnswers, JointSpaceEvaluation, compared
from training.joint_space.export import export
from training.joint_space.fitting import fit
from training.joint_space.graphs import Parts
from training.joint_space.image_tower import Backbones
from training.joint_space.labels import own_classes
from training.joint_space.weights import find_weights
from training.models.efficientnet_lite import load_lite2
from training.runner import CONFIGS, REALDATA, one_line


def main() -> None:
    """Read the command line and take the steps that it names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="+", choices=["export", "evaluate", "calibrate"], help="what to do, in order")
    parser.add_argument("--config", type=Path, default=CONFIGS / "joint_space.toml")
    parser.add_argument(
        "--content", type=Path, default=Path("models/general-2"), help="the bundle of the content network"
    )
    parser.add_argument("--out", type=Path, default=Path("data/models"), help="where the bundles go")
    parser.add_argument("--realdata", type=Path, default=REALDATA, help="the photos and weights")
    options = parser.parse_args()
    config = read_config(options.config, JointSpaceConfig)
    domains = held_out_domains(options.realdata, own_classes(options.realdata))
    with one_line("joint_space"):
        for step in options.steps:
            if step == "export":
                weights, content = find_weights(options.realdata), Bundle.load(options.content)
                backbones = Backbones(load_lite2(weights.classifier), config.image_px).eval()
                fitted = fit(config, weights, options.realdata, backbones, content)
                for bundle in export(
                    config, Parts(weights, backbones, content, fitted), domains[0], options.realdata, options.out
                ):
                    print(f"{bundle.folder}: {dict(bundle.gate)}")
            elif step == "calibrate":
                _calibrate(options.out, options.realdata)
            else:
                evaluation = JointSpaceEvaluation(options.realdata)
                answers = InProcessAnswers(options.out)
                for name, share in (
                    evaluation.figures(answers)
                    | evaluation.drawings_named(answers)
                    | compared(options.realdata, domains)
                ).items():
                    print(f"{name:34} {share:.3f}")
                for query, (is_first, precision) in evaluation.each(answers).items():
                    print(f"{query:34} {'first' if is_first else '':6} AP {precision:.2f}")


def _calibrate(models: Path, realdata: Path) -> None:
    """Calibrate the bundles, and print how that does on each kind of photos."""
    found = calibrate(JointSpaceEvaluation(realdata), InProcessAnswers(models))
    write_calibrations(models, {name: calibration for name, (calibration, _) in found.items()})
    for name, (calibration, checks) in found.items():
        print(f"{name}: {calibration}")
        for gallery, check in checks.items():
            print(
                f"  {gallery:10} kept {check.kept:.2f}, silent for strangers {check.strangers_silent:.2f}, for near kinds "
                f"{check.near_silent:.2f}, calibration error {check.error:.3f}"
            )
            print(" " * 12, " ".join(f"{count}:{sure:.2f}/{share:.2f}" for count, sure, share in check.bins if count))


if __name__ == "__main__":
    main()
