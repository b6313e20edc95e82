"""Car search (CompCars): a road camera's photo of a car in, photos of that model out.

    python -m training.cars draw train export evaluate

`draw` writes the drawn world in the layout of CompCars to --data. The other steps read that layout and nothing else;
for the published set leave `draw` out:

    python -m training.cars train export evaluate --config training/configs/cars_published.toml
        --data DIR/CompCars --run data/training/cars_published --out data/models
"""

from training.cars.system import CarsSystem
from training.runner import run

if __name__ == "__main__":
    run(CarsSystem(), __doc__)
