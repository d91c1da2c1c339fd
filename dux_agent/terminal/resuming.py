"""`dux run --resume DIR`: goes on with a run that died, and prints its figures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from dux_agent.run_folder.run_facts import read_facts
from dux_agent.runs.plan import OPTIONS, Plan
from dux_agent.runs.recorded_plan import begun_otherwise
from dux_agent.runs.training import resume
from dux_agent.tasks import in_words
from dux_agent.terminal.approving import Person
from dux_agent.terminal.progress import TrainingDisplay
from dux_agent.terminal.report_text import print_result


def go_on(folder: Path, given: Mapping[str, Any]) -> None:
    """Resume the run in `folder`.

    Args:
        folder: its run folder.
        given: what else stands on the command line, by name: the same as the run was
            begun with, or nothing.

    Raises:
        DuxError: it cannot be resumed, or `given` says something else than the run.
            Nothing was changed then.
    """
    path = folder.expanduser().absolute()
    begun = Plan.of(path, read_facts(path))
    said = dict(given)
    task, lm_options = said.pop("task", None), said.pop("lm_options", None)
    elsewhere = said.pop("run_dir", path)
    if elsewhere.expanduser().absolute() != path:
        raise begun_otherwise("--run-dir", elsewhere, folder, folder)
    for name, value in said.items():
        line, known = OPTIONS[name], getattr(begun, name)
        if line.checked(value) != known:
            shown = ", ".join(value) if line.option.many else value
            raise begun_otherwise(line.flag, shown, known, folder)
    with TrainingDisplay(Console(stderr=True)) as display, in_words(begun.task):
        result = resume(
            path,
            execution=said.get("execution"),
            task=task,
            lm_options=lm_options,
            on_event=display,
            person=Person(Console(stderr=True), display),
        )
    print_result(Console(), result)
