"""`dux replay`: a recorded run once more, and what differs."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from dux_agent.cli.one_line import one_line_errors
from dux_agent.runs.plan import Plan
from dux_agent.tasks import in_words


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
        from dux_agent.evolving.reading import refuse_search
        from dux_agent.run_folder.run_facts import read_facts
        from dux_agent.tuning.recorded_study import is_study

        refuse_search(folder)
        if is_study(folder):
            from dux_agent.terminal.study_text import replay_and_print

            if not replay_and_print(Console(), folder, task=task, execution=execution):
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
        if compared.differences:
            raise typer.Exit(1)
