"""What the page says of several runs: their spreads as charts and tables."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from dux_agent.formatting import loss_text, model_title, plural, seconds_text
from dux_agent.report.chart import Chart, Size, axes_of, banded, chart
from dux_agent.report.comparison import (
    MEASURES,
    Group,
    Spread,
    course,
    fact,
    final,
    groups_of,
    paired,
)
from dux_agent.report.links import own_page
from dux_agent.report.money import Prices, money_text
from dux_agent.report.run_charts import NARROW, WIDE
from dux_agent.report.run_view import run_state
from dux_agent.run_history.records import RunHistory

_COLOURS = 5
_MOST_RUNS = 500

View = dict[str, Any]


def comparison_view(runs: Sequence[RunHistory], prices: Prices) -> View:
    """The values that `templates/comparison.html.j2` writes down."""
    tasks = groups_of(runs)
    return {
        "title": f"{plural(len(runs), 'run')} of {', '.join(tasks)}"[:200],
        "tasks": [_task(task, groups) for task, groups in tasks.items()],
        "runs": [_run(run, prices) for run in runs[:_MOST_RUNS]],
        "rule": (
            "Spread is the sample standard deviation over runs; a line stands for the "
            "mean and its band for one deviation to either side, at the epochs that "
            "all runs of a group have reached. A loss that is not finite counts as "
            "lost and enters no mean. Runs of one seed share one control."
        ),
    }


def _task(task: str, groups: Sequence[Group]) -> View:
    control = next((each for each in groups if each.name == "control"), None)
    styles = {
        group.name: "control-val" if group is control else f"group-{place % _COLOURS}"
        for place, group in enumerate(groups)
    }
    charts = []
    for measure, name in MEASURES.items():
        drawn = _charts(groups, styles, measure)
        if drawn is not None and measure != "train":
            charts.append(
                {"name": name, "charts": drawn, "label": _label(groups, measure, name)}
            )
    return {
        "name": task,
        "legend": [(styles[group.name], _titled(group)) for group in groups],
        "charts": charts,
        "rows": [_row(group, control) for group in groups],
    }


def _titled(group: Group) -> str:
    name = (
        "control: the base optimizer alone" if group.name == "control" else group.name
    )
    return f"{name} ({plural(len(group.courses), 'run')})"


def _charts(
    groups: Sequence[Group], styles: dict[str, str], measure: str
) -> tuple[Chart, Chart] | None:
    courses = {group.name: course(group, measure) for group in groups}
    if not any(courses.values()):
        return None
    return _chart(courses, styles, WIDE), _chart(courses, styles, NARROW)


def _chart(
    courses: dict[str, list[tuple[int, Spread]]], styles: dict[str, str], size: Size
) -> Chart:
    size = Size(size.width, size.height, size.left, size.right)
    rows = [_row_of(point) for points in courses.values() for point in points]
    losses = [loss for row in rows for loss in row[1:]]
    across, up = axes_of(size, [row[0] for row in rows], losses)
    lines = [
        banded(styles[name], list(map(_row_of, points)), across, up, dots=True)
        for name, points in courses.items()
    ]
    return chart(size, across, up, reversed(lines), x_name="epoch")


def _row_of(point: tuple[int, Spread]) -> tuple[float, float, float, float]:
    # A band may reach below 0, where a logarithmic axis has no place: the lowest
    # loss bounds it.
    at, each = point
    low, high = max(each.mean - each.deviation, each.low), each.mean + each.deviation
    return float(at), low, each.mean, high


def _label(groups: Sequence[Group], measure: str, name: str) -> str:
    told = []
    for group in groups:
        spread = final(group, measure)
        told.append(f"{group.name} ends at {_spread_text(spread)}")
    return f"{name.capitalize()} by epoch: {'; '.join(told)}"


def _spread_text(spread: Spread) -> str:
    if not spread.count:
        return f"– ({spread.lost} lost)" if spread.lost else "–"
    text = loss_text(spread.mean)
    if spread.count > 1:
        text += f" ± {loss_text(spread.deviation)}"
    return f"{text} ({spread.lost} lost)" if spread.lost else text


def _row(group: Group, control: Group | None) -> View:
    tested = final(group, "test")
    row: View = {
        "name": group.name,
        "runs": len(group.courses),
        "val": _spread_text(final(group, "val")),
        "test": _spread_text(tested),
        "range": f"{loss_text(tested.low)} to {loss_text(tested.high)}"
        if tested.count
        else "–",
        "gain": "–",
        "better": "–",
    }
    if control is not None and group is not control:
        found = paired(group, control, "test")
        if found is not None:
            gain, better = found
            row["gain"] = _spread_text(gain)
            row["better"] = f"{better} of {gain.count + gain.lost}"
    return row


def _run(run: RunHistory, prices: Prices) -> View:
    last = run.epochs[-1] if run.epochs else None
    verdicts = Counter(each.verdict.replace("_", " ") for each in run.decisions)
    trained = run.losses[-1][1] if run.losses else None
    seconds = run.ended - run.began
    return {
        "name": run.path.name or str(run.path),
        "task": fact(run, "task"),
        "seed": fact(run, "seed"),
        "model": model_title(fact(run, "model")),
        "state": run_state(run)[1],
        "train": loss_text(last.train if last else trained),
        "val": loss_text(last.val if last else None),
        "test": loss_text(last.test if last else None),
        "control": loss_text(_matching(run)),
        "decisions": ", ".join(
            f"{count} {name[:40]}" for name, count in verdicts.items()
        )
        or "none",
        "time": seconds_text(seconds if math.isfinite(seconds) else None),
        "money": money_text(prices, [each.usage for each in run.decisions]),
        "link": own_page(run.path),
    }


def _matching(run: RunHistory) -> float | None:
    number = run.epochs[-1].number if run.epochs else None
    found = [each.test for each in run.control if each.number == number]
    return found[0] if found else None
