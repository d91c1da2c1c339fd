"""The plan of a recorded run, as far as its folder is taken at its word."""

from __future__ import annotations

from pathlib import Path

from dux_agent import tasks
from dux_agent.errors import BadArgument
from dux_agent.record.run_facts import read_facts
from dux_agent.runs.plan import Plan
from dux_agent.runs.vouched import vouched


def planned(
    folder: Path, *, execution: str | None = None, task: str | None = None
) -> Plan:
    """The plan of a recorded run, as far as a folder is taken at its word.

    Args:
        folder: a run folder.
        execution, task: as for `resume`.

    Raises:
        RunFolderUnusable: it is no run of `dux run`.
        BadArgument: the run is of another task than `task`, or of one that is imported
            and was never named here.
    """
    plan = Plan.of(folder, read_facts(folder)).running(execution)
    if task is not None and tasks.in_full(task) != plan.task:
        raise BadArgument(
            f"TASK is {task}, and the run in {folder} was begun with {plan.task}; a "
            f"resumed run goes on as it was begun; leave TASK out."
        )
    if task is None and not vouched(plan.task):
        raise BadArgument(
            f"the run in {folder} is of the task {plan.task}, which was never named on "
            f"this machine, from here; a folder alone was wanted to import nothing; "
            f"name it if you trust it: dux run {plan.task} --resume {folder}, or dux "
            f"replay {folder} --task {plan.task}."
        )
    return plan
