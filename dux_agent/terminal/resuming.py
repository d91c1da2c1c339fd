"""`dux run --resume DIR`: goes on with a run that died, and prints its figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from dux_agent.errors import BadArgument
from dux_agent.record.run_facts import read_facts
from dux_agent.runs.plan import OPTIONS, Plan
from dux_agent.tasks import in_words
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
    begun = Plan.of(path, read_facts(path))
    said = dict(given)
    execution, task = said.get("execution"), said.pop("task", None)
    elsewhere = said.pop("run_dir", path)
    ok = elsewhere.expanduser().absolute() == path
    _same("--run-dir", elsewhere, folder, folder, ok=ok)
    for name, value in said.items():
        known = getattr(begun, name)
        ok = OPTIONS[name].checked(value) == known
        shown = ", ".join(value) if OPTIONS[name].option.many else value
        _same(OPTIONS[name].flag, shown, known, folder, ok=ok)
    with TrainingDisplay(Console(stderr=True)) as display, in_words(begun.task):
        result = resume(path, execution=execution, task=task, on_event=display)
    print_result(Console(), result)


def _same(what: str, value: Any, begun: Any, folder: Path, *, ok: bool) -> None:
    if not ok:
        raise BadArgument(
            f"{what} is {value}, and the run in {folder} was begun with {begun}; "
            f"a resumed run goes on as it was begun; leave {what} out."
        )
