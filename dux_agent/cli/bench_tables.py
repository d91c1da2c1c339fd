"""Those of `dux bench` that train tasks and write a table of them."""

from collections.abc import Sequence
from pathlib import Path

import typer

_JUDGE = "judge"
TABLES = ("table1", "ablations", _JUDGE)
_JUDGED = (
    "digits,sine,conv-net@sgd,autoencoder@adam,deep-tanh@sgd,logistic@adam,"
    "badly-scaled@adam,embedding-bag@sgd,char-gpt@adam,adding@adam"
)


def make(
    name: str,
    written: str | None,
    quick: bool,
    seeds: int | None,
    rows: Sequence[str],
    lm: str | None,
    folder: Path | None,
    workers: int,
) -> None:
    """Make one, print it, and write it into the folder.

    Args:
        name: one of `TABLES`.
        written, seeds: as `dux_agent.benchmarks.table1.named_tasks` takes them.
        quick: without the family, and unless `rows` are named without those that need
            several trainings.
        rows, lm, folder, workers: as `dux_agent.benchmarks.table1.table` does.

    Raises:
        DuxError: a name means nothing, or something cannot be had.
    """
    from dux_agent.benchmarks.table1.named_tasks import tasks_of

    if name == _JUDGE:
        _judge(list(tasks_of(written or _JUDGED)), range(seeds or 1), folder)
        return
    from dux_agent.benchmarks.table1.named_rows import quick_rows
    from dux_agent.benchmarks.table1.table import make_table
    from dux_agent.benchmarks.table1.table_page import write_table
    from dux_agent.benchmarks.table1.table_text import as_text

    found = make_table(
        name,
        rows or (quick_rows(name, lm) if quick else ()),
        tasks=tasks_of(written, quick=quick, seeds=seeds),
        lm=lm,
        folder=folder,
        workers=workers,
        say=_say,
    )
    typer.echo(as_text(found), nl=False)
    if folder is not None:
        typer.echo(write_table(found, folder), err=True)


def _judge(names: Sequence[str], seeds: range, folder: Path | None) -> None:
    from dux_agent.benchmarks.dry_run_judge import judge
    from dux_agent.benchmarks.dry_run_page import as_text, write_judged

    found = judge(names, seeds, folder, say=_say)
    typer.echo(as_text(found, names), nl=False)
    if folder is not None:
        typer.echo(write_judged(found, names, folder), err=True)


def _say(line: str) -> None:
    typer.echo(line, err=True)
