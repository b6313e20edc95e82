"""How many fronts an encoder has."""

from domain.cores import usable_cores
from encoders.serving.cuda_libraries import has_gpu
from services.encoder.settings import EncoderSettings

_MOST_BY_ITSELF = 8
# A front keeps about one core busy, and decodes on others.
_CORES_A_FRONT = 2


def front_count(settings: EncoderSettings) -> int:
    """The fronts that are asked for; of itself one on a CPU, which the model needs, and on a GPU one for two cores."""
    if settings.fronts != "auto":
        return settings.fronts
    if settings.provider == "cpu" or not has_gpu():
        return 1
    return max(1, min(_MOST_BY_ITSELF, (settings.cores or usable_cores()) // _CORES_A_FRONT))
