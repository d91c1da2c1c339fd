"""`dux bench`: how fast this machine is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from dux_agent.benchmarks import BENCHMARKS
from dux_agent.cli.one_line import one_line_errors
from dux_agent.errors import BadArgument


def bench(
    name: Annotated[
        str | None,
        typer.Argument(
            help=f"One of {', '.join(BENCHMARKS)}; or tune, or prompts.",
            show_default="all but tune and prompts",
        ),
    ] = None,
    lm: Annotated[
        str | None,
        typer.Option(
            help="Of prompts: the language model that is asked, and paid, five times "
            "with each vocabulary.",
            show_default=False,
        ),
    ] = None,
    suite: Annotated[
        str,
        typer.Option(
            help="Of tune: paper32, histgb8, bundled, toys, tables, or tasks."
        ),
    ] = "bundled",
    methods: Annotated[
        str,
        typer.Option(
            help="Of tune: offline, tpe, gp, cmaes, a model's name, scripted (stands "
            "in for one); offline>gp: it goes on from a third; offline%gp: the model "
            "overrides three in ten."
        ),
    ] = "offline",
    budgets: Annotated[str, typer.Option(help="Of tune: evaluations.")] = "10,30",
    seeds: Annotated[int, typer.Option(help="Of tune: how many.")] = 1,
    pool: Annotated[
        int | None,
        typer.Option(
            help="Of tune: random configurations a task.",
            show_default="200, and 500 for budgets above 30",
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            help="Of tune: keeps evaluations and rows, so that a run that was ended "
            "goes on; a page, the tables and every figure are written there.",
            show_default="nothing is kept",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Of tune: every figure, as JSON."),
    ] = None,
) -> None:
    """Run the benchmarks; exit code 1 if a bar is missed.

    `dux bench tune` compares methods of tuning over a suite, beside random search's
    exact expectation and random search from the defaults.
    """
    with one_line_errors():
        if (lm is None) == (name == "prompts"):
            raise BadArgument(
                f"--lm was {'left out' if lm is None else 'given'}; a language model "
                f"was wanted for prompts, and for nothing else; run for instance dux "
                f"bench prompts --lm ollama:qwen3."
            )
        if lm is not None:
            from dux_agent.benchmarks.prompts import vocabularies

            for line in vocabularies(lm):
                Console().print(line, markup=False, highlight=False, soft_wrap=True)
            return
        if name == "tune":
            from dux_agent.benchmarks.studies import compare
            from dux_agent.benchmarks.study_page import write_page
            from dux_agent.benchmarks.study_tables import as_text
            from dux_agent.run_folder.whole_file import write_whole

            found = compare(
                suite,
                methods.split(","),
                budgets=_numbers(budgets),
                seeds=range(seeds),
                pool=pool,
                folder=folder,
                say=lambda task: typer.echo(task, err=True),
            )
            typer.echo(as_text(found), nl=False)
            if folder is not None:
                typer.echo(write_page(found, folder), err=True)
            if output is not None:
                text = found.as_json()
                write_whole(output, text, what="the figures", option="--output")
            return
        from dux_agent.benchmarks import run_benchmarks

        if not run_benchmarks(name, Console()):
            raise typer.Exit(1)


def _numbers(written: str) -> list[int]:
    try:
        found = [int(each) for each in written.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 1:
        raise BadArgument(
            f"--budgets is {written!r}; whole numbers of at least 1, with commas, were "
            f"wanted; write for instance 10,30."
        )
    return found
