"""The plan of a recorded run, as far as its folder is taken at its word."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from dux_agent import tasks
from dux_agent.errors import BadArgument
from dux_agent.experience.library import LibraryUnusable, read_library
from dux_agent.run_folder.run_facts import read_facts
from dux_agent.run_folder.trace import read
from dux_agent.runs.plan import OPTIONS, Plan
from dux_agent.runs.vouched import experience_words, model_words, task_words, vouched
from dux_graphs.events import ApplyEvent
from dux_sandbox.executions import AUTO, ISOLATED

log = logging.getLogger(__name__)


def planned(
    folder: Path, *, execution: str | None = None, task: str | None = None
) -> Plan:
    """The plan of a recorded run.

    Args:
        folder: a run folder.
        execution, task: as for `dux_agent.runs.training.resume`.

    Raises:
        RunFolderUnusable: it is no run of `dux run`.
        BadArgument: the run is of another task than `task`, or of one that is imported
            and was never named here.
    """
    begun = Plan.of(folder, read_facts(folder))
    plan = begun.running(execution)
    on_cpu = plan.device is None or plan.device.startswith("cpu")
    if execution is None and plan.execution == AUTO and on_cpu:
        if begun.execution != AUTO or _isolated(folder):
            plan = replace(plan, execution=ISOLATED.name)
    if task is not None and tasks.in_full(task) != plan.task:
        raise begun_otherwise("TASK", task, plan.task, folder)
    if task is None and not vouched(task_words(plan)):
        raise BadArgument(
            f"the run in {folder} is of the task {plan.task}, which was never named on "
            f"this machine, from here; a folder alone was wanted to import nothing; "
            f"name it if you trust it: dux run {plan.task} --resume {folder}, or dux "
            f"replay {folder} --task {plan.task}."
        )
    return plan


def _isolated(folder: Path) -> bool:
    """Whether the rules of a run were not recorded: it goes on to the last bit so."""
    applied = (
        event.body
        for event in read(folder)
        if isinstance(event.body, ApplyEvent) and event.body.verdict == "applied"
    )
    return any(body.mode is None for body in applied)


def check_models(plan: Plan, folder: Path, lm_options: Any) -> None:
    """Raise BadArgument where a folder alone would have the models asked elsewhere.

    Args:
        plan: of the run in `folder`.
        lm_options: those of the models, said again, or None.
    """
    if lm_options is not None:
        if OPTIONS["lm_options"].checked(lm_options) != plan.lm_options:
            shown = str(lm_options)[:80]
            raise begun_otherwise("--lm-option", shown, plan.lm_options, folder)
    elif not vouched(model_words(plan)):
        raise BadArgument(
            f"the run in {folder} gives its models the options "
            f"{', '.join(plan.lm_options or {})}, which were never given on this "
            f"machine; a folder alone was wanted to send no key anywhere; say them "
            f"again if you trust it, with --lm-option (lm_options=... in code)."
        )


def with_library(plan: Plan, folder: Path) -> Plan:
    """The plan, without a library that is gone or was never named on this machine.

    What the model was shown of it stands in the trace; later prompts go without it.
    """
    if plan.experience is None:
        return plan
    why = "was never named on this machine, and a folder alone is not shown it"
    if vouched(experience_words(plan)):
        try:
            read_library(plan.experience)
            return plan
        except LibraryUnusable as error:
            why = f"cannot be used ({error})"
    log.warning(
        "the library of experience that the run in %s was begun with %s: its next "
        "decisions are made without it",
        folder,
        why,
    )
    return replace(plan, experience=None)


def begun_otherwise(what: str, said: Any, begun: Any, folder: Path) -> BadArgument:
    """The error for an option that a run was begun with another value of."""
    return BadArgument(
        f"{what} is {said}, and the run in {folder} was begun with {begun}; a resumed "
        f"run goes on as it was begun; leave {what} out."
    )
