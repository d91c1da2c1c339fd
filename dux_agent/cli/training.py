"""`dux run` and `dux replay`: a task trained with an agent, and the same once more."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from dux_agent.cli.one_line import one_line_errors
from dux_agent.cli.plan_options import of_plan, with_plan_options
from dux_agent.errors import BadArgument
from dux_agent.run_folder.run_facts import read_facts
from dux_agent.runs.plan import Plan
from dux_agent.tasks import TASKS, in_words, listed
from dux_agent.tuning.recorded_study import is_study

_TASK_HELP = "; ".join(f"{name}: {text}" for name, text in TASKS.items())


@with_plan_options
def run(
    context: typer.Context,
    *,
    task: Annotated[
        str | None,
        typer.Argument(
            help=f"{_TASK_HELP}; or a function that builds one of yours, as "
            "package.module:build or file.py:build. Left out only with --resume.",
            show_default=False,
        ),
    ] = None,
    run_dir: Annotated[
        Path | None,
        typer.Option(
            help="The run folder to make.", show_default="runs/TASK-TIME-SEED"
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Go on with the run in this folder, which died; everything else is "
            "as it was.",
        ),
    ] = None,
    **options: Any,
) -> None:
    """Train a task while an agent writes, checks, tries and applies optimizers."""
    with one_line_errors():
        if resume is not None:
            from dux_agent.terminal.resuming import go_on

            go_on(resume, _given(context))
            return
        if task is None:
            raise BadArgument(
                f"no task was named; one of {listed()} was wanted, or your own as "
                f"package.module:build; run for instance dux run digits."
            )
        from dux_agent.runs.training import train
        from dux_agent.terminal.approving import Person
        from dux_agent.terminal.progress import TrainingDisplay
        from dux_agent.terminal.report_text import print_result

        plan = Plan.asked(task, of_plan(options))
        with TrainingDisplay(Console(stderr=True)) as display, in_words(plan.task):
            result = train(
                plan,
                run_dir=run_dir or free_run_dir(plan.task, plan.seed),
                on_event=display,
                person=Person(Console(stderr=True), display),
            )
        print_result(Console(), result)


def _given(context: typer.Context) -> dict[str, Any]:
    """The arguments that stand on the command line, without those left out."""
    given = {
        name: value
        for name, value in context.params.items()
        if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"
    }
    others = {name: given[name] for name in ("task", "run_dir") if name in given}
    return others | of_plan(given)


def free_run_dir(task: str, seed: int) -> Path:
    """runs/TASK-TIME-SEED below the working directory, not taken yet."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    # An unknown task is refused later; its name must not make a path of its own.
    short = re.sub(r"[^\w.]+", "-", Path(task).name).strip("-.")[:40] or "task"
    name = f"{short}-{stamp}-{seed}"
    path, count = Path("runs") / name, 1
    while path.exists():
        count += 1
        path = Path("runs") / f"{name}-{count}"
    return path


def replay(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run folder.")],
    execution: Annotated[
        str | None,
        typer.Option(
            help="As of dux run.",
            show_default="as recorded, but inline only where it is said here",
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="The task, said again: for one of yours that was never named here."
        ),
    ] = None,
) -> None:
    """Run a recorded run again from its replies, without a model, and compare.

    Exit code 0: the same decisions and losses; 1: something differs; 2: it cannot be
    replayed. DIR is not changed.
    """
    with one_line_errors():
        if is_study(folder):
            from dux_agent.terminal.study_text import replay_and_print

            if not replay_and_print(Console(), folder, task=task):
                raise typer.Exit(1)
            return
        from dux_agent.runs.replaying import replay as run_again
        from dux_agent.terminal.progress import TrainingDisplay
        from dux_agent.terminal.report_text import print_replay

        plan = Plan.of(folder, read_facts(folder))
        with TrainingDisplay(Console(stderr=True)) as display, in_words(plan.task):
            compared = run_again(
                folder, execution=execution, task=task, on_event=display
            )
        print_replay(Console(), compared)
        if compared.differences and plan.background:
            typer.echo(
                "The run decided in the background (--background): its rules went "
                "live when the model had answered, which no replay repeats.",
                err=True,
            )
        if compared.differences:
            raise typer.Exit(1)
