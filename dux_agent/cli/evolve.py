"""`dux evolve`: a search for optimizers over many tasks."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from dux_agent.cli.engines import Address, EngineName, engine_of
from dux_agent.cli.given import refuse_beside_resume
from dux_agent.cli.one_line import one_line_errors
from dux_agent.cli.run import RunDir, free_run_dir
from dux_agent.errors import BadArgument

_Many = Annotated[list[str] | None, typer.Option(show_default="none")]


def evolve(
    context: typer.Context,
    *,
    tasks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TASKS",
            help="What selects: names of tasks; family: those of the family that are "
            "for it.",
            show_default=False,
        ),
    ] = None,
    validation: Annotated[
        str, typer.Option(help="Other tasks, which choose among the finalists.")
    ] = "family",
    report: Annotated[
        str, typer.Option(help="Others again, on which the winners are trained once.")
    ] = "family",
    start: Annotated[
        str, typer.Option(help="The first population, names of the zoo; zoo: all.")
    ] = "zoo",
    lm: Annotated[
        list[str] | None,
        typer.Option(
            help="The language model, as dux run names it; offline: cross, retune and "
            "simplify alone. Given again: another, of which those are asked more often "
            "that win for little.",
            show_default="offline",
        ),
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option(
            help="Evaluations, of the search and of each baseline.",
            show_default="200; with --resume as before",
        ),
    ] = None,
    baselines: Annotated[
        str, typer.Option(help="Names of the zoo that are tuned; zoo: all of it.")
    ] = "adamw,muon,zoo",
    workers: Annotated[
        int | None,
        typer.Option(help="That evaluate.", show_default="one a core"),
    ] = None,
    engine: EngineName = "processes",
    address: Address = None,
    islands: Annotated[int, typer.Option(help="Populations apart.")] = 4,
    price: _Many = None,
    validation_seeds: Annotated[int, typer.Option(help="On each such task.")] = 3,
    report_seeds: Annotated[int, typer.Option(help="On each such task.")] = 5,
    trial_seconds: Annotated[
        float, typer.Option(help="A training that takes longer has failed.")
    ] = 60.0,
    trial_memory: Annotated[
        float | None,
        typer.Option(
            metavar="GIB",
            help="A worker that needs more memory has failed.",
            show_default="any",
        ),
    ] = None,
    execution: Annotated[
        str,
        typer.Option(
            metavar="[isolated|inline]",
            help="Where sources run.",
            show_default="inline; isolated with --lm",
        ),
    ] = "",
    zoo: Annotated[
        bool,
        typer.Option("--zoo", help="Quote one of the literature in each request."),
    ] = False,
    experience: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="A library that dux learn made: the model of --lm is shown what is "
            "nearest in it.",
            show_default="none",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
    run_dir: RunDir = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Go on with the search in this folder; --workers, --engine and a "
            "higher --budget may be said anew.",
        ),
    ] = None,
) -> None:
    """Search for optimizers: cross, retune and simplify those of the zoo; or ask.

    --price NAME=VALUE, with NAME steps, seconds, bytes or lines, says what one more of
    each adds to a score, where 0.01 is one per cent of the loss.
    """
    with one_line_errors():
        if resume is not None:
            refuse_beside_resume(context, ("workers", "engine", "address", "budget"))
        from dux_agent.evolving.evolve import evolve as run_search
        from dux_agent.evolving.evolve import resume as go_on
        from dux_agent.evolving.plan import OFFLINE, EvolvePlan, tasks_in
        from dux_agent.evolving.reading import read_in_words, read_search
        from dux_agent.terminal.search_text import print_search
        from dux_agent.tuning.plan import bytes_of

        shown = Console(stderr=True)

        def say(line: str) -> None:
            shown.print(line, markup=False, highlight=False)

        with engine_of(engine, address, workers) as (make, count):
            told: dict[str, Any] = {"say": say, "engine": make}
            if resume is not None:
                folder = go_on(resume, workers=workers, budget=budget, **told)
            else:
                plan = EvolvePlan(
                    tasks=tasks_in(_named(tasks)),
                    validation=tasks_in([validation]),
                    report=tasks_in([report]),
                    start=tasks_in([start]),
                    budget=200 if budget is None else budget,
                    model=tuple(lm or [OFFLINE]),
                    seed=seed,
                    workers=count,
                    islands=islands,
                    prices=_prices(price or []),
                    baselines=tasks_in([baselines]),
                    validation_seeds=validation_seeds,
                    report_seeds=report_seeds,
                    trial_seconds=trial_seconds,
                    trial_bytes=bytes_of(trial_memory),
                    execution=execution,
                    zoo=zoo,
                    experience=experience,
                )
                where = run_dir or free_run_dir("evolve", seed)
                folder = run_search(plan, where, **told)
        with read_in_words(folder):
            print_search(Console(), read_search(folder))


def _named(tasks: list[str] | None) -> list[str]:
    if not tasks:
        raise BadArgument(
            "no tasks were named; some to select by were wanted; run for instance dux "
            "evolve family."
        )
    return tasks


def _prices(written: list[str]) -> dict[str, float]:
    found = {}
    for each in written:
        name, _, value = each.partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            raise BadArgument(
                f"--price is {each!r}; NAME=VALUE was wanted, with a number; write for "
                f"instance --price lines=0.001."
            ) from None
    return found
