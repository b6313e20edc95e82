"""Search by sentence, sketch or both (TASK-former): what one leaves out of a photo, the other may say.

    python -m training.text_sketch draw train export evaluate

`draw` writes the drawn world in the layout of COCO 2014 with Karpathy's split to --data, with a sketch of every photo.
The other steps read that layout and nothing else; for the published set leave `draw` out:

    python -m training.text_sketch train export evaluate --config training/configs/text_sketch_published.toml
        --start ViT-B-16.pt --data DIR/coco --run data/training/text_sketch_published --out data/models
"""

from training.runner import run
from training.text_sketch.system import TextSketchSystem

if __name__ == "__main__":
    run(TextSketchSystem(), __doc__)
