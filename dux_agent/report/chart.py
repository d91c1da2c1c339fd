"""Charts as numbers and paths; the templates only write them down as SVG."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from dux_agent.report.axis import Axis, axis_of

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Size:
    """A drawing and its margins, user units (pixels at full width)."""

    width: int
    height: int
    left: int = 46
    right: int = 12
    top: int = 12
    bottom: int = 44


@dataclass(frozen=True)
class Line:
    """One series.

    Attributes:
        name: which series it is; the style goes by it.
        path: its line, SVG path data; empty where it has no finite value.
        dots: where its values are marked.
        band: the area between its lows and highs, SVG path data; may be empty.
    """

    name: str
    path: str
    dots: tuple[tuple[float, float], ...] = ()
    band: str = ""


@dataclass(frozen=True)
class Mark:
    """A decision, or a rollback, on the chart.

    Attributes:
        number: of the decision.
        verdict: the style goes by it.
        x: where its line stands.
        y: where its badge stands; None where there is no room for one.
        label: what it says on being looked at.
    """

    number: int
    verdict: str
    x: float
    y: float | None
    label: str


@dataclass(frozen=True)
class Chart:
    """A whole chart; see `templates/charts.html.j2` for how it is drawn."""

    size: Size
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    lines: tuple[Line, ...]
    marks: tuple[Mark, ...] = ()
    broken: tuple[float, ...] = ()
    logarithmic: bool = False
    x_name: str = "step"
    bottom: float = field(default=0.0)
    top: float = field(default=0.0)


def tick_text(value: float) -> str:
    """A tick's value, short.

    >>> [tick_text(each) for each in (0.5, 20.0, 1500.0, 2e6, 1e-7)]
    ['0.5', '20', '1500', '2e+06', '1e-07']
    """
    if value == 0:
        return "0"
    if 1e-4 <= abs(value) < 1e5:
        return f"{value:.6g}"
    return f"{value:.3g}"


def path_of(points: Iterable[tuple[float, float]], across: Axis, up: Axis) -> str:
    """SVG path data through the points; a value that is not finite interrupts it."""
    parts: list[str] = []
    pen = "M"
    for x, y in points:
        if not math.isfinite(y):
            pen = "M"
            continue
        parts.append(f"{pen}{across.place(x):.1f} {up.place(y):.1f}")
        pen = "L"
    return "".join(parts)


def band_of(low: Points, high: Points, across: Axis, up: Axis) -> str:
    """SVG path data of the area between two lines over the same places."""
    pairs = [
        (a, b)
        for a, b in zip(low, high, strict=True)
        if math.isfinite(a[1]) and math.isfinite(b[1])
    ]
    if len(pairs) < 2:
        return ""
    there = path_of([a for a, _ in pairs], across, up)
    back = path_of([b for _, b in reversed(pairs)], across, up)
    return f"{there}L{back[1:]}Z"


def axes_of(
    size: Size, steps: Iterable[float], losses: Iterable[float], **options: bool
) -> tuple[Axis, Axis]:
    """The axes of a drawing: steps across, losses up."""
    across = axis_of(
        steps,
        size.left,
        size.width - size.right,
        ticks=max(3, size.width // 110),
        whole=True,
        logarithmic=False,
    )
    up = axis_of(losses, size.height - size.bottom, size.top, **options)
    return across, up


def series(
    name: str, points: Points, across: Axis, up: Axis, *, dots: bool = True
) -> Line:
    """A line through points, each marked."""
    finite = [each for each in points if math.isfinite(each[1])]
    placed = [(round(across.place(x), 1), round(up.place(y), 1)) for x, y in finite]
    return Line(name, path_of(points, across, up), tuple(placed) if dots else ())


def banded(
    name: str,
    rows: Sequence[tuple[float, float, float, float]],
    across: Axis,
    up: Axis,
    *,
    dots: bool = False,
) -> Line:
    """A line through the middles, and the band from lows to highs where they differ.

    Args:
        rows: `(x, low, middle, high)` each.
        dots: the middles are marked.
    """
    line = series(name, [(x, mean) for x, _, mean, _ in rows], across, up, dots=dots)
    if not any(high > low for _, low, _, high in rows):
        return line
    low, high = ([(row[0], row[at]) for row in rows] for at in (1, 3))
    return replace(line, band=band_of(low, high, across, up))


def ticks_of(axis: Axis, least: float) -> tuple[tuple[float, str], ...]:
    """Places and texts of the ticks; those too near to another are left out."""
    kept: list[tuple[float, str]] = []
    for value in axis.ticks:
        place = round(axis.place(value), 1)
        if not kept or abs(place - kept[-1][0]) >= least:
            kept.append((place, tick_text(value)))
    return tuple(kept)


def chart(
    size: Size,
    across: Axis,
    up: Axis,
    lines: Iterable[Line],
    *,
    marks: Iterable[Mark] = (),
    broken: Iterable[float] = (),
    x_name: str = "step",
) -> Chart:
    """Everything of one chart together."""
    return Chart(
        size=size,
        x_ticks=ticks_of(across, 44),
        y_ticks=ticks_of(up, 16),
        lines=tuple(lines),
        marks=tuple(marks),
        broken=tuple(broken),
        logarithmic=up.logarithmic,
        x_name=x_name,
        bottom=size.height - size.bottom,
        top=size.top,
    )
