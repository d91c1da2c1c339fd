"""`dux bench`: how fast this machine is."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from dux_agent.benchmarks import BENCHMARKS
from dux_agent.cli.bench_tables import TABLES, make
from dux_agent.cli.one_line import one_line_errors
from dux_agent.errors import BadArgument

_OF_MODELS = ("prompts", "figures")
_OF_FAMILY = ("family", "rubbish", "experience")


def bench(
    name: Annotated[
        str | None,
        typer.Argument(
            help=f"One of {', '.join(BENCHMARKS)}; or step, tune, "
            "figures, prompts, family, rubbish, experience, evolve, table1, ablations, "
            "judge.",
            show_default="all but the last eleven",
        ),
    ] = None,
    lm: Annotated[
        str | None,
        typer.Option(
            help="Of prompts: the language model that is asked, and paid, five times "
            "with each vocabulary. Of figures: who tunes. Of tune: one more method, or "
            "what lm is in --methods. Of table1 and ablations: who is asked; "
            "recorded:FOLDER plays a table's runs again.",
            show_default=False,
        ),
    ] = None,
    suite: Annotated[
        str,
        typer.Option(
            help="Of tune: paper32, histgb8, bundled, toys, tables, code, or tasks. "
            "Of family, rubbish and experience: train, validation, or test, where "
            "bundled is test."
        ),
    ] = "bundled",
    methods: Annotated[
        str,
        typer.Option(
            help="Of tune: offline, tpe, gp, cmaes, random (a search a seed), lm or a "
            "model's name, scripted (stands in for one); lm>gp: it goes on from a "
            "third; lm%gp: the model overrides three in ten."
        ),
    ] = "offline",
    budgets: Annotated[
        str, typer.Option(help="Of tune: evaluations. Of figures: the first.")
    ] = "10,30",
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Of tune, figures, family, experience, table1 and ablations: how "
            "many. Of rubbish: trainings.",
            show_default="1; of a table 3, and 5 of sine",
        ),
    ] = None,
    rows: Annotated[
        str | None,
        typer.Option(help="Of a table: those wanted, as adamw,offline; all if left."),
    ] = None,
    tasks: Annotated[
        str | None,
        typer.Option(
            help="Of a table: names, or family, or train, validation, test of it.",
            show_default="the paper's where DUX_DATA is set, digits, sine, the family",
        ),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="Of a table: without the family and rows of several trainings.",
        ),
    ] = False,
    workers: Annotated[
        int, typer.Option(min=1, help="Of a table: trainings at a time.")
    ] = 2,
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
            "goes on; a page, the tables and every figure are written there. Of "
            "figures: studies and pages. Of family, rubbish, experience, tables: every "
            "training.",
            show_default="nothing is kept",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Of tune and step: every figure, as JSON."),
    ] = None,
    sizes: Annotated[
        str, typer.Option(help="Of step: how many weights.")
    ] = "94k,25M,124M",
    threads: Annotated[str, typer.Option(help="Of step: of torch.")] = "1",
    device: Annotated[
        str, typer.Option(help="Of step: where the weights are, as cuda:0.")
    ] = "cpu",
    graphs: Annotated[
        bool, typer.Option(help="Of step: recorded steps in CUDA graphs, too.")
    ] = False,
    rules: Annotated[
        Path | None,
        typer.Option(
            help="Of step: a folder of sources.",
            show_default="AdamW in four styles, the harmless rules of the corpus",
        ),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Of step: a drawing of the table, as SVG.")
    ] = None,
) -> None:
    """Run the benchmarks; exit code 1 if a bar is missed.

    `dux bench tune` compares methods of tuning over a suite, beside random search's
    exact expectation and random search from the defaults; `dux bench figures` draws
    what a model does without ranges, with a short prompt, and with noise. `dux bench
    step` times one step of each rule wherever its code can run, beside torch's AdamW.
    `dux bench family` holds the offline rules against the control and a fixed recipe,
    `rubbish` a model that proposes nothing else against the control, `experience` the
    offline rules with a library of other trainings against themselves without it;
    `dux bench table1` against all that people would use instead, and `ablations` the
    default against itself with one thing otherwise. `dux bench judge` says how well a
    dry run foretells what a proposal does, and `evolve` what a second worker saves a
    search, and how much the search keeps in memory.
    """
    with one_line_errors():
        if name in TABLES:
            on = tasks, quick, seeds
            make(name, *on, rows.split(",") if rows else [], lm, folder, workers)
            return
        seeds = seeds or 1
        if name == "tune":
            counts = _numbers(budgets, "--budgets"), range(seeds), pool
            _tune(suite, methods.split(","), lm, *counts, folder, output)
        elif (lm is None) == (name in _OF_MODELS):
            raise BadArgument(
                f"--lm was {'left out' if lm is None else 'given'}; a language model "
                f"was wanted for {', '.join(_OF_MODELS)}, tune, table1 and ablations, "
                f"and for nothing else; run for instance dux bench prompts --lm "
                f"ollama:qwen3."
            )
        elif lm is not None:
            first = _numbers(budgets, "--budgets")[0]
            for line in _of_model(name, lm, folder, first, seeds):
                Console().print(line, markup=False, highlight=False, soft_wrap=True)
        elif name == "step":
            many = _numbers(threads, "--threads")
            _steps(sizes.split(","), many, device, rules, output, plot, graphs=graphs)
        elif name in _OF_FAMILY:
            tell = import_module(f"dux_agent.benchmarks.{name}").tell
            purpose = "test" if suite == "bundled" else suite
            if not tell(purpose, seeds, folder, typer.echo):
                raise typer.Exit(1)
        elif name == "evolve":
            if not import_module("dux_agent.benchmarks.evolve").tell(typer.echo):
                raise typer.Exit(1)
        else:
            from dux_agent.benchmarks import run_benchmarks

            if not run_benchmarks(name, Console()):
                raise typer.Exit(1)


def _of_model(
    name: str | None, lm: str, folder: Path | None, budget: int, seeds: int
) -> Iterator[object]:
    if name == "prompts":
        from dux_agent.benchmarks.prompts import vocabularies

        return vocabularies(lm)
    from dux_agent.benchmarks.figures import draw_figures

    if folder is None:
        raise BadArgument(
            "--folder was left out; a folder for studies and pages was wanted; write "
            "for instance --folder figures."
        )
    return draw_figures(lm, folder, budget=budget, seeds=seeds, say=_say)


def _tune(
    suite: str,
    methods: list[str],
    lm: str | None,
    budgets: list[int],
    seeds: range,
    pool: int | None,
    folder: Path | None,
    output: Path | None,
) -> None:
    from dux_agent.benchmarks.studies import compare
    from dux_agent.benchmarks.study_page import write_page
    from dux_agent.benchmarks.study_tables import as_text
    from dux_agent.run_folder.whole_file import write_whole

    found = compare(
        suite,
        methods,
        lm=lm,
        budgets=budgets,
        seeds=seeds,
        pool=pool,
        folder=folder,
        say=_say,
    )
    typer.echo(as_text(found), nl=False)
    if folder is not None:
        typer.echo(write_page(found, folder), err=True)
    if output is not None:
        write_whole(output, found.as_json(), what="the figures", option="--output")


def _say(line: str) -> None:
    typer.echo(line, err=True)


def _steps(
    sizes: list[str],
    threads: list[int],
    device: str,
    folder: Path | None,
    output: Path | None,
    plot: Path | None,
    *,
    graphs: bool,
) -> None:
    """`dux bench step`. Raises BadArgument."""
    from dux_agent.benchmarks.step import SIZES, files_in, measure, rule_files
    from dux_agent.benchmarks.step_table import as_drawing, as_json, as_table
    from dux_agent.run_folder.whole_file import write_whole
    from dux_agent.tasks.placing import placing

    if unknown := [size for size in sizes if size not in SIZES]:
        raise BadArgument(
            f"--sizes names {unknown[0]!r}; some of {', '.join(SIZES)}, with commas, "
            f"were wanted; write for instance 94k,25M."
        )
    files = rule_files() if folder is None else files_in(folder)
    if not files:
        raise BadArgument(
            f"{folder} holds no sources; a folder of files that end in .py was wanted; "
            f"leave --rules out for those of the corpus."
        )
    sources = {each.stem: each.read_text(errors="replace") for each in files}
    found = [
        each
        for count in threads
        for each in measure(
            sources, sizes, count, graphs=graphs, say=_say, **placing(device, None)
        )
    ]
    typer.echo(as_table(found), nl=False)
    if output is not None:
        write_whole(output, as_json(found), what="the figures", option="--output")
    if plot is not None:
        write_whole(plot, as_drawing(found), what="the drawing", option="--plot")


def _numbers(written: str, option: str) -> list[int]:
    try:
        found = [int(each) for each in written.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 1:
        raise BadArgument(
            f"{option} is {written!r}; whole numbers of at least 1, with commas, were "
            f"wanted; write for instance {option} 1,4."
        )
    return found
