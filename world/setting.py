"""Owns the setting of a scene: place, time of day and weather, and the light and colours that follow from them."""

from dataclasses import dataclass

import numpy as np

from world.kinds import Zone
from world.palette import Colour, mix

LOCATIONS = ("meadow", "street", "beach", "lake")
TIMES = ("morning", "noon", "evening", "night")
WEATHERS = ("clear", "cloudy", "rain", "snow", "fog")

_SKIES: dict[str, tuple[Colour, Colour]] = {  # overhead, at the horizon
    "morning": ((126, 178, 226), (253, 226, 196)),
    "noon": ((70, 148, 226), (206, 232, 246)),
    "evening": ((84, 92, 158), (255, 176, 112)),
    "night": ((20, 28, 72), (86, 98, 150)),
}
_LIGHTS: dict[str, tuple[float, float, float]] = {  # what white looks like
    "morning": (1.02, 0.98, 0.93),
    "noon": (1.0, 1.0, 1.0),
    "evening": (1.03, 0.88, 0.78),
    "night": (0.6, 0.63, 0.84),
}
# How deep each zone lies on the ground: 0 is the horizon, 1 the image's lower edge.
_ZONES: dict[str, dict[Zone, tuple[float, float]]] = {
    "meadow": {"back": (0.12, 0.4), "ground": (0.3, 0.97), "grass": (0.3, 0.97)},
    "street": {"back": (0.16, 0.24), "road": (0.46, 0.68), "ground": (0.8, 0.97)},
    "beach": {"water": (0.1, 0.34), "ground": (0.52, 0.97)},
    "lake": {"back": (0.07, 0.13), "water": (0.24, 0.4), "ground": (0.58, 0.97), "grass": (0.58, 0.97)},
}


@dataclass(frozen=True, slots=True)
class Setting:
    """Where and when. `horizon` and the zones' edges are fractions of the image's height, measured from its top."""

    location: str
    time: str
    weather: str
    horizon: float

    @property
    def sky(self) -> tuple[Colour, Colour]:
        """The colours overhead and at the horizon; clouds take the blue out."""
        top, bottom = _SKIES[self.time]
        grey: Colour = (52, 56, 70) if self.time == "night" else (196, 202, 210)
        share = {"clear": 0.0, "cloudy": 0.3, "rain": 0.72, "snow": 0.65, "fog": 0.8}[self.weather]
        return mix(top, grey, share), mix(bottom, grey, share * 0.8)

    @property
    def light(self) -> tuple[float, float, float]:
        red, green, blue = _LIGHTS[self.time]
        dim = {"clear": 1.0, "cloudy": 0.97, "rain": 0.88, "snow": 0.97, "fog": 0.95}[self.weather]
        return red * dim, green * dim, blue * dim

    @property
    def ground(self) -> tuple[Colour, Colour]:
        """The ground's colours far away and near."""
        if self.weather == "snow":
            return (226, 232, 240), (246, 248, 252)
        if self.location == "beach":
            return (232, 208, 160), (246, 226, 184)
        return (150, 190, 104), (84, 146, 68)

    @property
    def shadow(self) -> float:
        """How dark shadows are, 0..1."""
        return {"clear": 0.36, "cloudy": 0.24, "rain": 0.16, "snow": 0.18, "fog": 0.12}[self.weather]

    def zone(self, zone: Zone) -> tuple[float, float] | None:
        """Between which heights things of this zone stand (in the sky: hang), or None where there is no such zone."""
        if zone == "sky":
            return 0.3, self.horizon
        depths = _ZONES[self.location].get(zone)
        if depths is None:
            return None
        near, far = (self.horizon + (1 - self.horizon) * depth for depth in depths)
        return near, far

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Setting":
        """Pick a setting; fair weather is more frequent, nights are dry, and it does not snow on the beach."""
        location = str(rng.choice(LOCATIONS, p=(0.28, 0.32, 0.2, 0.2)))
        time = str(rng.choice(TIMES, p=(0.24, 0.38, 0.24, 0.14)))
        weather = str(rng.choice(WEATHERS, p=(0.44, 0.27, 0.1, 0.11, 0.08)))
        if (time == "night" and weather != "cloudy") or (location == "beach" and weather == "snow"):
            weather = "clear"
        return cls(location=location, time=time, weather=weather, horizon=float(rng.uniform(0.4, 0.5)))
