"""Code as a hyperparameter: a study whose configurations are programs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dux_agent.errors import BadArgument
from dux_agent.tuning.programs import objective_over
from dux_agent.tuning.study import Study
from dux_agent.tuning.tune import OnTrial, tune
from dux_agent.tuning_tasks.code import CODE_TASKS, CodeTask, code_task
from dux_sandbox.jailed_programs import MEMORY, SECONDS

BUDGET = 5
"""Evaluations, as in the paper."""


def tune_code(
    task: str | CodeTask | Mapping[str, Any],
    *,
    lm: Any = "offline",
    budget: int = BUDGET,
    execution: str = "isolated",
    trial_seconds: float = SECONDS,
    trial_bytes: int = MEMORY,
    run_dir: str | Path | None = None,
    on_trial: OnTrial | None = None,
    **options: Any,
) -> Study:
    """Have a language model write programs that train, and see how they do.

    Each trial's `config["source"]` is a program: `build`, `make_optimizer` and
    `HPARAMS`, or `fit_predict`. It runs in a jailed process of its own, which is never
    told the targets of validation and test rows.

    Args:
        task: "taxi", "diabetes" or a data set of `dux tune`; or rows of your own, a
            `CodeTask` or a dict of its arguments.
        lm: the language model; "offline" tries a fixed list of general programs.
        budget: evaluations.
        execution: "isolated"; "inline" runs what the model writes in this process, with
            all that it may do, and only where you say so.
        trial_seconds, trial_bytes: a program that takes longer, or more memory, has
            failed.
        run_dir, on_trial: as of `dux_agent.tune`.
        options: its others.

    Returns:
        The study; `study.best.config["source"]` is the best program.

    Raises:
        DuxError: an argument cannot be meant, or the jail does not hold on this system.
    """
    named = task.removeprefix("code:") if isinstance(task, str) else ""
    objective = objective_over(task_of(task), execution)
    return tune(
        objective,
        objective.space,
        lm=lm,
        budget=budget,
        run_dir=run_dir,
        on_trial=on_trial,
        name=f"code:{named}" if named else "",
        trial_seconds=trial_seconds,
        trial_bytes=trial_bytes,
        **{"task": objective.task, **options},
    )


def task_of(task: Any) -> CodeTask:
    """The rows of an argument.

    Raises:
        BadArgument: it is none.
        DuxError: the data cannot be had.
    """
    if isinstance(task, CodeTask):
        return task
    if isinstance(task, Mapping):
        try:
            return CodeTask(**task)
        except TypeError as error:
            raise BadArgument(f"the task is a dict: {error}") from None
    name = str(task).removeprefix("code:")
    if not isinstance(task, str) or name not in CODE_TASKS:
        raise BadArgument(
            f"there is no code task {task!r:.80}; one of {', '.join(CODE_TASKS)}, or a "
            f"dux_agent.CodeTask of rows of your own, was wanted; pass one."
        )
    return code_task(name)
