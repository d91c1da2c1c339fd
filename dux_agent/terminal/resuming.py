"""`dux run --resume DIR`: goes on with a run that died, and prints its figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from dux_agent.errors import BadArgument
from dux_agent.record.run_facts import read_facts
from dux_agent.runs.plan import Plan
from dux_agent.terminal.display import TrainingDisplay
from dux_agent.terminal.report_text import print_result
from dux_agent.train import resume


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
    begun = asdict(Plan.of(path, read_facts(path)))
    begun |= {"lm": begun["model"], "run_dir": path, "resume": folder}
    for name, value in given.items():
        known = begun.get(name)
        if isinstance(value, Path) and name == "run_dir":
            value = value.expanduser().absolute()
        if value != known:
            option = "TASK" if name == "task" else "--" + name.replace("_", "-")
            raise BadArgument(
                f"{option} is {value}, and the run in {folder} was begun with {known}; "
                f"a resumed run goes on as it was begun; leave {option} out."
            )
    with TrainingDisplay(Console(stderr=True)) as display:
        result = resume(path, execution=given.get("execution"), on_event=display)
    print_result(Console(), result)
