"""`dux run`: a task trained with an agent."""

import re
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from dux_agent.cli.given import given
from dux_agent.cli.one_line import one_line_errors
from dux_agent.cli.plan_options import of_plan, with_plan_options
from dux_agent.errors import BadArgument
from dux_agent.runs.plan import Plan
from dux_agent.tasks import TASKS, in_words, listed

_TASK_HELP = "; ".join(f"{name}: {text}" for name, text in TASKS.items())
RunDir = Annotated[
    Path | None,
    typer.Option(help="The run folder to make.", show_default="runs/TASK-TIME-SEED"),
]
"""The option of every command that makes a run folder."""


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
    run_dir: RunDir = None,
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

            go_on(resume, _of_run(context))
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


def _of_run(context: typer.Context) -> dict[str, Any]:
    """The arguments on the command line that say something of a run."""
    found = given(context)
    others = {name: found[name] for name in ("task", "run_dir") if name in found}
    return others | of_plan(found)


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
