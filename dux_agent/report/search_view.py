"""What the page says of a search: a `SearchTold` made into plain values."""

import json
import math
from typing import Any

from dux_agent.evolving.evolve import SEARCH
from dux_agent.evolving.journal import EXAMINED, PARTS
from dux_agent.evolving.reading import Row, SearchTold, change, over_seeds
from dux_agent.report.chart import Chart, Line, Size, axes_of, chart, series
from dux_agent.report.difference import difference
from dux_agent.report.run_figures import figure
from dux_agent.report.study_charts import NARROW, WIDE
from dux_agent.run_folder.trace import plain
from dux_agent.showing import one_line
from dux_graphs.evolution.racing import rung

View = dict[str, Any]

_MOST_ROWS = 1000
_MOST_ANCESTORS = 30
_FIRST = rung(0).name
_CELLS = 4  # of straightness, and bytes a byte that are told apart


def search_view(told: SearchTold, most: int) -> View:
    """The values that `templates/search.html.j2` writes down.

    Args:
        told: what happened.
        most: characters of each text that are shown.
    """
    own = [r for r in told.rows if r.arm == SEARCH and PARTS not in r.answers]
    reported = told.reported()
    stopped = sorted(told.stopped_at().items(), key=lambda each: -each[1])
    winner = reported.get(SEARCH)
    return {
        "title": f"{one_line(', '.join(told.plan.tasks), 200)}, seed {told.plan.seed}",
        "lead": one_line(str(told.path), 200),
        "finished": bool(reported),
        "verdict": told.verdict(),
        "figures": [
            figure(
                "individuals",
                f"{len(own):,}",
                f"twins among them; {told.plan.budget:,} evaluations",
            ),
            *(figure(f"stopped by {name}", f"{n:,}", "") for name, n in stopped),
            *(
                figure(
                    f"bred by {one_line(name, 60)}", f"{bred:,}", f"{gone:,} stopped"
                )
                for name, (bred, gone) in told.bred_by_models().items()
            ),
        ],
        "winners": [
            {
                "arm": arm,
                "loss": over_seeds(each.seeds),
                "beside": told.beside(each),
                "validation": over_seeds(each.validation),
                "thought": one_line(each.row.thought, most),
            }
            for arm, each in reported.items()
        ],
        "charts": [_best(own, size) for size in (WIDE, NARROW)],
        "map": _map(own),
        "ancestors": [] if winner is None else _ancestors(told, winner.row, own, most),
        "ablation": told.ablation(),
        "rows": [_row(row, most) for row in own[:_MOST_ROWS]],
        "left_out": max(0, len(own) - _MOST_ROWS),
        "options": [(n, json.dumps(plain(v))) for n, v in told.plan.facts().items()],
    }


def _mean(values: Any) -> float:
    return math.fsum(values) / len(values) if values else math.nan


def _best(rows: list[Row], size: Size) -> Chart:
    """The best short training so far, by trainings of the search so far."""
    points, so_far, cost = [], [], 0.0
    lowest = math.inf
    for row in rows:
        cost += sum(len(each) for each in row.values.values())
        if row.values.get(_FIRST):
            value = math.exp(_mean(row.values[_FIRST]))
            lowest = min(lowest, value)
            points.append((cost, value))
            so_far.append((cost, lowest))
    values = [y for _, y in points] or [1.0]
    across, up = axes_of(size, [0.0, cost], values, logarithmic=True)
    dots = Line("test", "", series("test", points, across, up).dots)
    line = series("val", so_far, across, up, dots=False)
    return chart(size, across, up, [dots, line], x_name="trainings")


def _map(rows: list[Row]) -> list[list[str]]:
    """By bytes kept (rows) and straightness (columns): how many, and the best."""
    cells: dict[tuple[int, int], list[float]] = {}
    for row in rows:
        if row.values.get(_FIRST):
            kept = min(_CELLS, round(row.answers[_FIRST]["bytes"]))
            way = int(_CELLS * row.answers[EXAMINED]["straightness"])
            cell = cells.setdefault((kept, min(_CELLS - 1, way)), [])
            cell.append(_mean(row.values[_FIRST]))
    return [
        [_cell(cells.get((kept, way), [])) for way in range(_CELLS)]
        for kept in range(_CELLS + 1)
    ]


def _cell(values: list[float]) -> str:
    return f"{len(values)}: {change(min(values))}" if values else ""


def _ancestors(told: SearchTold, winner: Row, own: list[Row], most: int) -> list[View]:
    """The winner and all it was bred of, each beside its first parent."""
    by_number = {row.number: row for row in own}
    found: list[View] = []
    left = [winner]
    while left and len(found) < _MOST_ANCESTORS:
        row = left.pop(0)
        parents = [by_number[n] for n in row.parents if n in by_number]
        known = {each["number"] for each in found}
        left += [e for e in parents if e.number not in known and e not in left]
        source = told.source(row)
        before = told.source(parents[0]) if parents else None
        diff = difference(before, source)
        found.append({**_row(row, most), "diff": diff, "source": source[:most]})
    return found


def _row(row: Row, most: int) -> View:
    names = [n for n in row.values if row.values[n] and n in _rungs(row)]
    highest = names[-1] if names else ""
    return {
        "number": row.number,
        "operator": row.operator,
        "parents": ", ".join(map(str, row.parents)),
        "island": row.island + 1,
        "loss": change(_mean(row.values[highest])) if highest else "",
        "rung": highest,
        "stopped": f"{row.stage}: {one_line(row.why, most)}" if row.why else "",
        "thought": one_line(row.thought, most),
    }


def _rungs(row: Row) -> list[str]:
    return [rung(place).name for place in range(len(row.values))]
