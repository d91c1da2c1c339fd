"""The rows by their names: those of the paper's table, and those of its ablations."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any

from dux_agent.benchmarks.table1.dux_rows import ablation_rows, dux_rows
from dux_agent.benchmarks.table1.plain_rows import control_row, plain_rows
from dux_agent.benchmarks.table1.row import Row
from dux_agent.benchmarks.table1.search_rows import search_rows

TABLE1, ABLATIONS = "table1", "ablations"


def rows_of(suite: str, lm: Any = None) -> dict[str, Row]:
    """Rows by name, in the order of the table.

    Args:
        suite: "table1" or "ablations".
        lm: the language model of those that ask one; None: the offline rules stand in
            for it in the ablations, and the table has no such row.
    """
    rows: Iterable[Row] = chain(plain_rows(), search_rows(), dux_rows(lm))
    if suite == ABLATIONS:
        rows = chain([control_row()], ablation_rows(lm))
    return {row.name: row for row in rows}


def quick_rows(suite: str, lm: Any = None) -> list[str]:
    """The names of those rows of `rows_of(suite, lm)` that train once."""
    return [row.name for row in rows_of(suite, lm).values() if not row.dear]
