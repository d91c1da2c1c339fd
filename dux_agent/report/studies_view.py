"""What the page of several studies says: courses, trajectories and tables."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dux_agent.formatting import plural, seconds_text
from dux_agent.report.chart import Chart, Size, axes_of, banded, chart, series
from dux_agent.report.comparison import Spread, spread_of
from dux_agent.report.links import own_page
from dux_agent.report.money import Prices, money_text
from dux_agent.report.study_charts import NARROW, WIDE, random_band
from dux_agent.report.study_groups import (
    StudyGroup,
    control_of,
    finite,
    measured_course,
    studies_by_task,
)
from dux_agent.showing import one_line
from dux_agent.tuning.reading import StudyTold
from dux_prompts.tuning.number import Number
from dux_prompts.tuning.values import figure

_COLOURS = 8
_MOST_STUDIES = 500
_MOST_TRAJECTORIES = 8

View = dict[str, Any]


def studies_view(studies: Sequence[StudyTold], prices: Prices) -> View:
    """The values that `templates/studies.html.j2` writes down."""
    tasks = studies_by_task(studies)
    return {
        "title": f"{plural(len(studies), 'study', 'studies')} of {', '.join(tasks)}"[
            :200
        ],
        "tasks": [_task(name, groups) for name, groups in tasks.items()],
        "studies": [_study(each, prices) for each in studies[:_MOST_STUDIES]],
    }


def _task(name: str, groups: Sequence[StudyGroup]) -> View:
    styles = [f"group-{place % _COLOURS}" for place in range(len(groups))]
    control = control_of(groups)
    charts = [_best(groups, styles, control, size) for size in (WIDE, NARROW)]
    return {
        "name": name,
        "legend": [
            (style, f"{group.name} ({plural(len(group.studies), 'study', 'studies')})")
            for style, group in zip(styles, groups, strict=True)
        ],
        "charts": charts if any(map(measured_course, groups)) else [],
        "label": "Measured value of the best so far, by evaluation: "
        + "; ".join(f"{each.name} ends at {_ended(each)}" for each in groups),
        "control": bool(control),
        "rows": [_row(group) for group in groups],
        "trajectories": _trajectories(groups, styles),
    }


def _best(
    groups: Sequence[StudyGroup],
    styles: Sequence[str],
    control: Sequence[float],
    size: Size,
) -> Chart:
    courses = [measured_course(group) for group in groups]
    most = max((len(course) for course in courses), default=0)
    beside = random_band(control, most, groups[0].studies[0].plan.maximize)
    drawn = [("control-val", beside)] if beside else []
    drawn += zip(styles, ([*map(_row_of, each)] for each in courses), strict=True)
    values = [y for _, rows in drawn for row in rows for y in row[1:]]
    places = [float(at) for course in courses for at, _ in course]
    across, up = axes_of(size, [0.0, *places], values)
    lines = [banded(style, rows, across, up) for style, rows in drawn]
    return chart(size, across, up, lines, x_name="evaluation")


def _row_of(point: tuple[int, Spread]) -> tuple[float, float, float, float]:
    # A band that reached beyond what was seen would reach beyond a logarithmic axis.
    at, each = point
    low = max(each.mean - each.deviation, each.low)
    return float(at), low, each.mean, min(each.mean + each.deviation, each.high)


def _trajectories(groups: Sequence[StudyGroup], styles: Sequence[str]) -> list[View]:
    """Each number that was tuned, by evaluation: how a method goes through it."""
    space = groups[0].studies[0].space
    drawn: list[View] = []
    for name, each in space.items():
        if not isinstance(each, Number) or len(drawn) == _MOST_TRAJECTORIES:
            continue
        held = [
            (style, points)
            for style, group in zip(styles, groups, strict=True)
            for points in (_values(study, name) for study in group.studies)
            if points
        ]
        if not held:
            continue
        across, up = axes_of(
            NARROW,
            [x for _, points in held for x, _ in points],
            [y for _, points in held for _, y in points],
            logarithmic=each.log,
        )
        lines = [series(style, points, across, up) for style, points in held]
        drawn.append(
            {
                "name": name,
                "chart": chart(NARROW, across, up, lines, x_name="evaluation"),
            }
        )
    return drawn


def _values(study: StudyTold, name: str) -> list[tuple[float, float]]:
    found = [(each.number, finite(each.config.get(name))) for each in study.over]
    return [(float(at), value) for at, value in found if value is not None]


def _row(group: StudyGroup) -> View:
    best = [each.best for each in group.studies]
    reports: dict[str, list[float]] = {}
    for trial in best:
        told = trial.report if trial is not None else None
        for name, value in told.items() if isinstance(told, Mapping) else ():
            number = finite(value)
            if number is not None:
                reports.setdefault(str(name), []).append(number)
    over = [trial for each in group.studies for trial in each.over]
    return {
        "name": group.name,
        "studies": len(group.studies),
        "shown": _spread(t.value for t in best if t is not None),
        "measured": _ended(group),
        "report": "; ".join(
            f"{one_line(name.replace('_', ' '), 40)} {_spread(values)}"
            for name, values in list(reports.items())[:3]
        )
        or "–",
        "trials": len(over),
        "failed": sum(trial.value is None for trial in over),
        "fallback": sum(trial.by == "fallback" for trial in over),
        "found": sum(len(t.found) for each in group.studies for t in each.trials),
    }


def _ended(group: StudyGroup) -> str:
    return _spread(t.measured for s in group.studies if (t := s.best) is not None)


def _spread(values: Iterable[Any]) -> str:
    found = map(finite, values)
    spread = spread_of(value for value in found if value is not None)
    if not spread.count:
        return "–"
    if spread.count == 1:
        return figure(spread.mean)
    return f"{figure(spread.mean)} ± {figure(spread.deviation)}"


def _study(told: StudyTold, prices: Prices) -> View:
    best, budget = told.best, told.plan.budget
    calls, tokens = (int(told.usage.get(n, 0)) for n in ("calls", "total_tokens"))
    return {
        "name": told.path.name or str(told.path),
        "link": own_page(told.path),
        "task": one_line(str(told.facts.get("task") or "an objective"), 120),
        "model": one_line(str(told.facts.get("model")), 120),
        "seed": told.plan.seed,
        "trials": f"{len(told.over)} of {budget}",
        "best": "–" if best is None else f"{figure(best.value)}, trial {best.number}",
        "by": "–" if best is None else one_line(best.by, 40),
        "tokens": f"{tokens:,} in {plural(calls, 'call')}",
        "money": money_text(prices, [told.usage]),
        "time": seconds_text(told.ended - told.began),
    }
