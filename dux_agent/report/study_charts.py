"""The charts of a study: the best so far, and every trial across its coordinates."""

from collections.abc import Sequence
from dataclasses import dataclass

from dux_agent.report.chart import Chart, Line, Size, axes_of, banded, chart, series
from dux_agent.report.study_groups import finite
from dux_agent.tuning.reading import StudyTold
from dux_agent.tuning.study import Trial
from dux_agent.tuning_tasks.measures import band
from dux_prompts.tuning.choice import Choice
from dux_prompts.tuning.space import Space
from dux_prompts.tuning.values import figure

WIDE = Size(880, 320, right=14, top=20)
NARROW = Size(360, 280, left=40, right=14, top=20)

_ROOM = 56.0  # beside the first and the last coordinate
_TOP, _BOTTOM = 34.0, 270.0
_MOST_BANDED = 200  # random trials of which the band is made
_MOST_COORDINATES = 12
_BEST_SHARE = 0.2


@dataclass(frozen=True)
class Coordinate:
    """One hyperparameter, or the value, as an upright line.

    Attributes:
        name: of it.
        x: where the line stands.
        low, high: what its ends say.
    """

    name: str
    x: float
    low: str
    high: str


@dataclass(frozen=True)
class Polyline:
    """One trial across the coordinates.

    Attributes:
        path: SVG path data.
        label: what it says on being looked at.
        best: it is one of the fifth with the best values.
    """

    path: str
    label: str
    best: bool


@dataclass(frozen=True)
class Parallel:
    """A drawing of parallel coordinates; `templates/study.html.j2` writes it down."""

    width: int
    height: int
    top: float
    bottom: float
    coordinates: tuple[Coordinate, ...]
    lines: tuple[Polyline, ...]


def best_charts(told: StudyTold) -> tuple[Chart, Chart] | None:
    """Best so far by evaluation, beside random search; None without a value."""
    if not any(trial.value is not None for trial in told.over):
        return None
    return _best(told, WIDE), _best(told, NARROW)


def _best(told: StudyTold, size: Size) -> Chart:
    sign = -1.0 if told.plan.maximize else 1.0
    points = [(float(t.number), t.value) for t in told.over if t.value is not None]
    so_far: list[tuple[float, float]] = []
    for number, value in points:
        before = so_far[-1][1] if so_far else value
        so_far.append((number, min(sign * value, sign * before) * sign))
    random = [t.value for t in told.control if t.value is not None]
    bands = random_band(random, len(random), told.plan.maximize)
    numbers = [0.0, *(x for x, _ in points), *(each[0] for each in bands)]
    values = [y for _, y in so_far + points] + [y for b in bands for y in b[1:]]
    across, up = axes_of(size, numbers, values)
    lines = [banded("control-val", bands, across, up)] if bands else []
    lines.append(Line("test", "", series("test", points, across, up).dots))
    lines.append(series("val", so_far, across, up, dots=False))
    return chart(size, across, up, lines, x_name="evaluation")


def random_band(
    values: Sequence[float], most: int, maximize: bool
) -> list[tuple[float, float, float, float]]:
    """Random search's best so far: draws, 5 % quantile, mean, 95 % quantile.

    Args:
        values: of what it drew.
        most: draws, at most.
        maximize: higher values are better.
    """
    sign = -1.0 if maximize else 1.0
    pool = [sign * value for value in values[:_MOST_BANDED]]
    bands = []
    for count in range(1, min(len(pool), most) + 1):
        low, mean, high = (sign * each for each in band(pool, count))
        bands.append((float(count), low, mean, high))
    return bands


def parallel(told: StudyTold) -> Parallel | None:
    """Every trial across its coordinates; None without a value, or of programs."""
    valued = [trial for trial in told.over if trial.value is not None]
    if not valued or told.space.is_code:
        return None
    names = list(told.space)[:_MOST_COORDINATES]
    width = max(880, 110 * (len(names) + 1))
    step = (width - 2 * _ROOM) / max(1, len(names))
    xs = [_ROOM + place * step for place in range(len(names) + 1)]
    sign = -1.0 if told.plan.maximize else 1.0
    ranked = sorted(valued, key=lambda trial: sign * (trial.value or 0.0))
    low, high = ranked[0].value or 0.0, ranked[-1].value or 0.0
    ends = [*(_ends(told.space, name) for name in names), (figure(high), figure(low))]
    best = ranked[: max(1, round(_BEST_SHARE * len(ranked)))]
    lines = []
    for trial in reversed(ranked):
        places = [_place(told.space, name, trial) for name in names]
        share = 0.5 if high == low else ((trial.value or 0.0) - high) / (low - high)
        heights = zip(xs, [*places, share], strict=True)
        lines.append(
            Polyline(
                _path([(x, at) for x, at in heights if at is not None]),
                f"trial {trial.number}: {figure(trial.value)}",
                trial in best,
            )
        )
    coordinates = tuple(
        Coordinate(name, round(x, 1), *each)
        for name, x, each in zip([*names, "value"], xs, ends, strict=True)
    )
    return Parallel(width, 310, _TOP, _BOTTOM, coordinates, tuple(lines))


def _path(points: Sequence[tuple[float, float]]) -> str:
    """Through places from 0, at the bottom, to 1."""
    corners = [(x, _BOTTOM - share * (_BOTTOM - _TOP)) for x, share in points]
    return "".join(
        f"{'L' if number else 'M'}{x:.1f} {y:.1f}"
        for number, (x, y) in enumerate(corners)
    )


def _place(space: Space, name: str, trial: Trial) -> float | None:
    if name not in trial.config:
        return None
    each, value = space[name], trial.config[name]
    if isinstance(each, Choice):
        index = each.index(value)
        return None if index is None else (index + 0.5) / len(each.choices)
    number = finite(value)
    # A trace may be anybody's: beyond the ends there is no place.
    inside = None if number is None else min(max(number, each.low), each.high)
    return None if inside is None else each.to_unit(inside)


def _ends(space: Space, name: str) -> tuple[str, str]:
    each = space[name]
    if isinstance(each, Choice):
        return str(each.choices[0]), str(each.choices[-1])
    return figure(each.low), figure(each.high)
