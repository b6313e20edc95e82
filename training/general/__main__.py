"""The general image embedding: any photo in, 320 numbers out.

    python -m training.general prepare train export evaluate

`prepare` cuts the views of the photos and of drawn objects and runs the teacher once. `train` learns content first, then
puts the colours beside it, each with a line of log.csv an epoch, and goes on where it was cut off. `export` gates the
averaged weights and writes the bundle, `evaluate` serves it. `regate` makes the smaller precisions of a bundle whose
checkpoint is lost. `trial` shows, after `prepare`, whether the teacher helps with what was never trained on.
"""

from training.general.system import GeneralSystem
from training.runner import run

if __name__ == "__main__":
    run(GeneralSystem(), __doc__)
