"""Pedestrian search (DCMPL): a sentence in, images of that person out.

    python -m training.pedestrians draw train export evaluate

`draw` writes the drawn world in the layout of CUHK-PEDES to --data. The other steps read that layout and nothing else;
for the published set leave `draw` out:

    python -m training.pedestrians train export evaluate --config training/configs/pedestrians_published.toml
        --data DIR/CUHK-PEDES --run data/training/pedestrians_published --out data/models
"""

from training.pedestrians.system import PedestriansSystem
from training.runner import run

if __name__ == "__main__":
    run(PedestriansSystem(), __doc__)
