"""How numbers, tables and findings are written in a prompt: the template filters."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dux_prompts.reply import cleaned

DIGITS = 5
"""Significant digits of a figure: enough to see 0.1 % of a loss, no noise below."""

CELL_CHARACTERS = 400
LINE_CHARACTERS = 600


def figure(value: Any) -> str:
    """One number with five significant digits; whole numbers in full.

    >>> figure(0.30000000000000004), figure(235146), figure(1e-08), figure(None)
    ('0.3', '235146', '1e-08', 'not known')
    """
    if value is None:
        return "not known"
    if isinstance(value, float):
        return str(value) if not math.isfinite(value) else f"{value:.{DIGITS}g}"
    return str(value)


def figures(values: Iterable[Any]) -> str:
    """Numbers in a row: `2.3001, 2.2877`."""
    return ", ".join(figure(value) for value in values)


def pairs(values: Iterable[Sequence[Any]]) -> str:
    """`[step, loss]` pairs in a row: `135: 2.3001, 270: 2.2877`."""
    return ", ".join(f"{int(step)}: {figure(loss)}" for step, loss in values)


def options(group: Mapping[str, Any]) -> str:
    """The hyperparameters of a group: `lr=0.01, momentum=0.9, nesterov=False`."""
    written = []
    for name, value in group.items():
        if isinstance(value, list | tuple):
            value = f"({figures(value)})"
        written.append(f"{name}={figure(value) if value is not None else None}")
    return ", ".join(written) or "no options"


def shapes(parameters: Mapping[str, Sequence[int]]) -> str:
    """The parameters of a layer: `weight 256x784, bias 256`."""
    return ", ".join(
        f"{name} {'x'.join(str(size) for size in shape) or 'scalar'}"
        for name, shape in parameters.items()
    )


def line(text: Any, characters: int = LINE_CHARACTERS) -> str:
    """The text on one line, cut with an ellipsis where it is too long."""
    joined = " ".join(cleaned(str(text)).split())
    if len(joined) <= characters:
        return joined
    return joined[: characters - 1].rstrip() + "…"


def cell(text: Any) -> str:
    """The text as one cell of a Markdown table."""
    return line(text, CELL_CHARACTERS).replace("|", "\\|")


def finding(data: Mapping[str, Any]) -> str:
    """One finding on one line: where, which rule, what, and what to write instead."""
    where = f"line {data['line']}: " if data.get("line") is not None else ""
    rule = f"[{data['rule']}] " if data.get("rule") else ""
    instead = f". Instead: {data['instead']}" if data.get("instead") else ""
    return line(f"{where}{rule}{str(data.get('message', '')).rstrip('.')}{instead}")


def fenced(source: str) -> str:
    """The source in a fenced Python block whose fence it cannot close.

    >>> print(fenced("x = 1"))
    ```python
    x = 1
    ```
    """
    mark = "```"
    while mark in source:
        mark += "`"
    return f"{mark}python\n{source.rstrip()}\n{mark}"


FILTERS = {
    "figure": figure,
    "figures": figures,
    "pairs": pairs,
    "options": options,
    "shapes": shapes,
    "line": line,
    "cell": cell,
    "finding": finding,
    "fenced": fenced,
}
