"""Programs as the configurations of a study: run in the jail, and scored outside."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dux_agent.errors import BadArgument, DuxError
from dux_agent.showing import one_line
from dux_agent.tuning.study import Trial
from dux_agent.tuning_tasks import code, taxi
from dux_agent.tuning_tasks.code import CodeTask
from dux_agent.tuning_tasks.data_sets import require_sklearn
from dux_prompts.tuning.program import SOURCE, Program
from dux_prompts.tuning.space import Space
from dux_sandbox.findings import CannotRunSo
from dux_sandbox.jailed_programs import MEMORY, SECONDS, predict, require_jail
from dux_sandbox.programs.optimizers import optimizers_in
from dux_sandbox.programs.running import predictions

EXECUTIONS = ("isolated", "inline")


class NoPlaceForPrograms(DuxError):
    """This system cannot hold a program of a language model; says what it lacks."""


@dataclass(frozen=True)
class ProgramsHere:
    """A task as an objective whose programs run in this process, with all its rights.

    Attributes:
        of: the task.
    """

    of: CodeTask
    defaults = ()
    # What its errors hang on, as the other tasks of a comparison say it.
    made_of = (code.__name__, taxi.__name__, "dux_sandbox.programs")
    packages = ("numpy", "scikit-learn", "torch")
    files = ()

    @property
    def space(self) -> Space:
        """What is tuned: a program."""
        return Space({SOURCE: Program()})

    @property
    def task(self) -> str:
        """What a prompt says of it."""
        return self.of.task

    def __call__(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Run a program, and score what it says."""
        source = str(config[SOURCE])
        return self._scored(source, predictions(source, self.of.rows, self.of.seed))

    def _scored(self, source: str, said: Any) -> dict[str, Any]:
        import numpy as np

        if not np.isfinite(said).all():
            raise ValueError("its predictions are not all finite")
        outcome = self.of.score(said)
        written = [str(each) for each in optimizers_in(source)]
        if written:
            outcome["report"]["optimizers"] = written
        return outcome


@dataclass(frozen=True)
class ProgramsInJail(ProgramsHere):
    """The same with a process of its own for each program, in the jail."""

    def __call__(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Run a program with the usual limits, and score what it says."""
        return self.evaluate_within(config)

    def evaluate_within(
        self,
        config: Mapping[str, Any],
        seconds: float | None = None,
        most_bytes: int | None = None,
    ) -> dict[str, Any]:
        """Run a program within limits, 60 s and 2 GiB where none are said.

        Raises:
            ProgramFailed: it gave no predictions.
            CannotRunSo: nothing can be run here.
        """
        said = predict(
            str(config[SOURCE]),
            self.of.rows,
            seed=self.of.seed,
            seconds=seconds or SECONDS,
            memory=most_bytes or MEMORY,
        )
        return self._scored(str(config[SOURCE]), said)


def objective_over(task: CodeTask, execution: str = "isolated") -> ProgramsHere:
    """A task as an objective.

    Args:
        execution: "isolated", in the jail; "inline", in this process, which holds
            nothing back.

    Raises:
        BadArgument: there is no such execution.
        MissingExtra: scikit-learn is not installed.
        NoPlaceForPrograms: the jail does not hold here.
    """
    if execution not in EXECUTIONS:
        raise BadArgument(
            f"execution is {execution!r}; one of {', '.join(EXECUTIONS)} was wanted; "
            f"leave it out for the jail."
        )
    require_sklearn()  # what the warm process loads, and programs expect
    if execution == "inline":
        return ProgramsHere(task)
    try:
        require_jail()
    except CannotRunSo as error:
        raise NoPlaceForPrograms(str(error)) from None
    return ProgramsInJail(task)


def export_program(
    trial: Trial, task: str, source: str, *, strange: bool = False
) -> str:
    """A program as a file of its own, with what came of it in comments above it.

    Args:
        strange: no recorded reply holds it.
    """
    report = trial.report if isinstance(trial.report, dict) else {}
    written = report.get("optimizers")
    said = [
        f"{task or 'a task'}: value {trial.value:.6g} in trial {trial.number}, by "
        f"{trial.by}; a program of dux tune --code",
        *(f"{name}: {value}" for name, value in report.items() if name == "test_error"),
        *(f"optimizer {e}" for e in (written if isinstance(written, list) else ())),
        f"why: {trial.why}" if trial.why else "",
        "no recorded reply holds this program: somebody may have put it there"
        if strange
        else "",
    ]
    lines = [f"# {one_line(each, 300)}" for each in said if each]
    # It may come from anybody's folder, and a terminal obeys what it is shown.
    shown = "".join(e if e.isprintable() or e in "\n\t" else "\ufffd" for e in source)
    return "\n".join([*lines, "", shown])
