"""`dux run` and `dux replay`: a task trained with an agent, and the same once more."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from dux_agent.commands.one_line import one_line_errors
from dux_agent.errors import BadArgument
from dux_agent.tasks import TASKS

_TASK_HELP = "; ".join(f"{name}: {text}" for name, text in TASKS.items())


class Execution(StrEnum):
    """Where accepted rules run."""

    auto = "auto"
    isolated = "isolated"
    inline = "inline"


def run(
    context: typer.Context,
    task: Annotated[
        str | None,
        typer.Argument(
            help=f"{_TASK_HELP}. Left out only with --resume.", show_default=False
        ),
    ] = None,
    lm: Annotated[
        str,
        typer.Option(
            help="offline (rule-based, not a language model), openai:NAME, "
            "ollama:NAME, recorded:FILE or any provider:name of LangChain."
        ),
    ] = "offline",
    task_description: Annotated[
        str | None,
        typer.Option(help="A few words on the task that the model is told."),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(help="Epochs to train.", show_default="the task's own: 5"),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Of weights, batches, dropout and agent.")
    ] = 0,
    control: Annotated[
        bool,
        typer.Option(
            "--control",
            help="First train with the base optimizer only, from the same weights; "
            "its figures stand beside the run's.",
        ),
    ] = False,
    run_dir: Annotated[
        Path | None,
        typer.Option(
            help="The run folder to make.", show_default="runs/TASK-TIME-SEED"
        ),
    ] = None,
    execution: Annotated[
        Execution,
        typer.Option(
            help="isolated: accepted rules stay in a locked-down process; inline: "
            "they run in this one; auto: isolated on Linux, else inline."
        ),
    ] = Execution.auto,
    every: Annotated[
        int | None,
        typer.Option(
            help="Steps between decisions.",
            show_default="one decision before every epoch but the first",
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
) -> None:
    """Train a task while an agent writes, checks, tries and applies optimizers."""
    with one_line_errors():
        if resume is not None:
            from dux_agent.terminal.resuming import go_on

            go_on(resume, _given(context))
            return
        if task is None:
            raise BadArgument(
                f"no task was named; one of {', '.join(TASKS)} was wanted; run for "
                f"instance dux run digits."
            )
        from dux_agent.terminal.display import TrainingDisplay
        from dux_agent.terminal.report_text import print_result
        from dux_agent.train import train

        with TrainingDisplay(Console(stderr=True)) as display:
            result = train(
                task,
                lm=lm,
                epochs=epochs,
                seed=seed,
                run_dir=run_dir or _free_run_dir(task, seed),
                control=control,
                task_description=task_description,
                execution=execution.value,
                every=every,
                on_event=display,
            )
        print_result(Console(), result)


def _given(context: typer.Context) -> dict[str, Any]:
    """The arguments that stand on the command line, without those left out."""
    return {
        name: getattr(value, "value", value)
        for name, value in context.params.items()
        if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"
    }


def _free_run_dir(task: str, seed: int) -> Path:
    """runs/TASK-TIME-SEED below the working directory, not taken yet."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    # An unknown task is refused later; its name must not make a path of its own.
    name = f"{task if task in TASKS else 'unknown'}-{stamp}-{seed}"
    path, count = Path("runs") / name, 1
    while path.exists():
        count += 1
        path = Path("runs") / f"{name}-{count}"
    return path


def replay(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run folder.")],
    execution: Annotated[
        Execution | None,
        typer.Option(
            help="As of dux run.",
            show_default="as recorded, but inline only where it is said here",
        ),
    ] = None,
) -> None:
    """Run a recorded run again from its replies, without a model, and compare.

    Exit code 0: the same decisions and losses; 1: something differs; 2: it cannot be
    replayed. DIR is not changed.
    """
    with one_line_errors():
        from dux_agent.replaying import replay as run_again
        from dux_agent.terminal.display import TrainingDisplay
        from dux_agent.terminal.report_text import print_replay

        with TrainingDisplay(Console(stderr=True)) as display:
            how = None if execution is None else execution.value
            compared = run_again(folder, execution=how, on_event=display)
        print_replay(Console(), compared)
        if compared.differences:
            raise typer.Exit(1)
