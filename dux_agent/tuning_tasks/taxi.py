"""Taxi rides in a made-up city: rows that no language model has seen."""

import math
from functools import cache
from typing import Any

ROWS = 4000
FEATURES = (
    *("pickup_longitude", "pickup_latitude", "dropoff_longitude", "dropoff_latitude"),
    *("hour", "weekday", "passengers", "vendor"),
)
_SEED = 2312
_MIDDLE = (-73.98, 40.75)  # degrees
_KM = (84.4, 111.2)  # of a degree of longitude and of latitude there
_TURN = math.radians(29)  # of the streets against the meridian
# How many rides begin in each hour of a day.
_BY_HOUR = (3, 2, 2, 1, 1, 1, 2, 4, *(5,) * 9, 6, 7, 7, 6, 6, 5, 4)
_PASSENGERS = (0.7, 0.14, 0.05, 0.03, 0.05, 0.03)


@cache
def rides() -> tuple[Any, Any]:
    """The features of the rides, (4000, 8), and the logarithms of their seconds.

    The columns are those of Kaggle's New York taxi trips. A ride follows streets that
    are turned by 29 degrees; its speed depends on the hour, the weekday, and how near
    the middle of the city it is. Student's t is put on the logarithm, scaled by 0.12.
    """
    import numpy as np

    rng = np.random.default_rng(_SEED)
    spread = np.where(rng.random(ROWS) < 0.12, 0.06, 0.02)[:, None]
    middle = np.array(_MIDDLE)
    begin = middle + rng.normal(size=(ROWS, 2)) * spread
    end = middle + rng.normal(size=(ROWS, 2)) * spread[::-1]
    by_hour = np.array(_BY_HOUR, float)
    hour = rng.choice(24, ROWS, p=by_hour / by_hour.sum())
    weekday = rng.integers(0, 7, ROWS)
    passengers = rng.choice([1, 2, 3, 4, 5, 6], ROWS, p=_PASSENGERS)
    vendor = rng.integers(1, 3, ROWS)
    east, north = ((end - begin) * np.array(_KM)).T
    along = np.abs(east * math.cos(_TURN) - north * math.sin(_TURN))
    across = np.abs(east * math.sin(_TURN) + north * math.cos(_TURN))
    route = along + across + 0.3
    rush = np.exp(-(((hour - 8.5) / 1.5) ** 2))
    rush = rush + 1.2 * np.exp(-(((hour - 17.5) / 2) ** 2))
    rush = np.where(weekday >= 5, 0.3 * rush, rush)
    away = ((begin + end) / 2 - middle) ** 2
    central = np.exp(-away.sum(axis=1) / 0.02**2)
    kmh = 31 / (1 + 0.7 * rush + 0.8 * central) + 9 * np.tanh(route / 12)
    seconds = 3600 * route / kmh + 45 + 20 * (vendor == 2)
    y = np.log(seconds) + 0.12 * rng.standard_t(4, ROWS)
    return np.column_stack([begin, end, hour, weekday, passengers, vendor]), y
