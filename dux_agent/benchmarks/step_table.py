"""What `dux bench step` measured, as a table and as a drawing."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from html import escape

from dux_agent.benchmarks.step import CAPTURED, StepTime
from dux_agent.benchmarks.step_torch import RULE_OF_TORCH

_WIDTH, _ROW, _LEFT, _RIGHT = 860, 18, 210, 30
_COLOURS = {"inline": "#8a8a8a", "isolated": "#d18a1f", "recorded": "#1f6fd1"}
_IF_ASKED = {CAPTURED: "#2f9e44"}


def as_table(found: Sequence[StepTime]) -> str:
    """A Markdown table: milliseconds, and in brackets times `AdamW(fused=True)`.

    Last, how many times less than inline a recorded step takes, and how many times less
    anything could that reads and writes the same tensors once, at memory's pace.
    """
    kinds = list(dict.fromkeys(each.kind for each in _of_rules(found)))
    lines = [
        _row(["", "weights", "threads", *kinds, "inline / recorded", "inline / memory"])
    ]
    lines.append(_row(["---"] * (len(kinds) + 5)))
    for each in found:
        if each.rule == RULE_OF_TORCH:
            name = f"{each.rule}, {each.kind}"
            told = [name, each.size, str(each.threads), _told(each)]
            lines.append(_row([*told, *[""] * (len(kinds) + 1)]))
    groups: dict[tuple[str, str, int], dict[str, StepTime]] = {}
    for each in _of_rules(found):
        key = (each.rule, each.size, each.threads)
        groups.setdefault(key, {})[each.kind] = each
    for (rule, size, threads), row in groups.items():
        told = [_told(row[kind]) if kind in row else "" for kind in kinds]
        lines.append(_row([rule, size, str(threads), *told, _gain(row), _most(row)]))
    notes = dict.fromkeys(
        f"{each.rule}, {each.kind}: {each.note}" for each in found if each.note
    )
    return "\n".join([*lines, "", *(f"- {note}" for note in notes)]) + "\n"


def as_json(found: Sequence[StepTime]) -> str:
    """Every figure."""
    return json.dumps([asdict(each) for each in found], indent=1) + "\n"


def _of_rules(found: Iterable[StepTime]) -> list[StepTime]:
    return [each for each in found if each.rule != RULE_OF_TORCH]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _told(each: StepTime) -> str:
    if each.seconds is None:
        return "-"
    told = f"{1e3 * each.seconds:.3g} ms"
    if each.against_fused is None:
        return told
    return f"{told} ({each.against_fused:.2f})"


def _gain(row: dict[str, StepTime]) -> str:
    inline, recorded = row.get("inline"), row.get("recorded")
    if inline is None or recorded is None:
        return ""
    if inline.against_fused is None or recorded.against_fused is None:
        return ""
    return f"{inline.against_fused / recorded.against_fused:.1f}"


def _most(row: dict[str, StepTime]) -> str:
    inline, recorded = row.get("inline"), row.get("recorded")
    if inline is None or recorded is None:
        return ""
    if inline.seconds is None or recorded.least is None:
        return ""
    return f"{inline.seconds / recorded.least:.1f}"


def as_drawing(found: Sequence[StepTime]) -> str:
    """An SVG: for each rule, size and kind a dot, in units of torch's fused AdamW."""
    told = [each for each in _of_rules(found) if each.against_fused]
    rows = list(dict.fromkeys((e.size, e.threads, e.rule) for e in told))
    ratios = [each.against_fused or 1.0 for each in told] + [0.5, 2.0]
    low, high = math.log10(min(ratios)) - 0.1, math.log10(max(ratios)) + 0.1

    def across(ratio: float) -> float:
        part = (math.log10(ratio) - low) / (high - low)
        return round(_LEFT + part * (_WIDTH - _LEFT - _RIGHT), 1)

    height = 60 + _ROW * len(rows)
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'font-family="sans-serif" font-size="11">',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
    ]
    for ratio in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100):
        if low <= math.log10(ratio) <= high:
            x, colour = across(ratio), "#444" if ratio == 1 else "#ddd"
            drawn.append(
                f'<line x1="{x}" x2="{x}" y1="34" y2="{height - 8}" stroke="{colour}"/>'
                f'<text x="{x}" y="28" text-anchor="middle">{ratio:g}</text>'
            )
    asked = {each.kind for each in found} & _IF_ASKED.keys()
    colours = _COLOURS | {kind: _IF_ASKED[kind] for kind in asked}
    for place, (kind, colour) in enumerate(colours.items()):
        x = _LEFT + 90 * place
        drawn.append(
            f'<circle cx="{x}" cy="11" r="4" fill="{colour}"/>'
            f'<text x="{x + 8}" y="15">{kind}</text>'
        )
    x = _LEFT + 20 + 90 * len(colours)
    drawn.append(f'<text x="{x}" y="15">times torch\'s fused AdamW</text>')
    for place, (size, threads, rule) in enumerate(rows):
        y = 50 + _ROW * place
        name = escape(f"{rule}, {size}, {threads}")
        drawn.append(
            f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{name}</text>'
        )
        for each in told:
            if (each.size, each.threads, each.rule) == (size, threads, rule):
                x = across(each.against_fused or 1.0)
                colour = colours.get(each.kind, "#444")
                drawn.append(f'<circle cx="{x}" cy="{y}" r="4" fill="{colour}"/>')
    return "\n".join([*drawn, "</svg>"]) + "\n"
