"""Object search: the detector that finds what is searched for; images in, boxes of their objects out.

    python -m training.objects draw train export evaluate

`draw` writes the drawn world in the layout that the config names to --data. The other steps read that layout and
nothing else; for the published set leave `draw` out:

    python -m training.objects train export evaluate --config training/configs/objects_published.toml
        --data DIR/VOCdevkit/VOC2012 --start DIR/darknet53.conv.74 --run data/training/objects_published --out data/models

`evaluate` serves the bundle beside `general-2`, which embeds the objects. `weights` writes a network of Darknet's as
Darknet reads it; `regate` makes the smaller precisions of a bundle whose checkpoint is lost. `--start` names weights to
begin with: another run's checkpoint.pt, or Darknet's.
"""

from training.objects.system import ObjectsSystem
from training.runner import run

if __name__ == "__main__":
    run(ObjectsSystem(), __doc__)
