"""One row of the table: how its trainings are found, and what they hang on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from dux_agent import tasks
from dux_agent.benchmarks.code_digest import code_digest
from dux_agent.benchmarks.table1.course import Begin, Course, Training, stepping
from dux_agent.tasks.family.members import is_member, parts_of

DEAR_BASES = ("sgd", "adam")
"""Of a member of the family, where rows of several trainings are run."""

_OF_ALL = (
    *("dux_agent.tasks", "dux_agent.runs.epoch_loop", stepping.__module__),
    "dux_sandbox.random_state",
)


@dataclass(frozen=True)
class Asked:
    """One training that is asked for.

    Attributes:
        task: its name, with its base.
        seed: of weights and batches, and of whatever is drawn.
        place: a folder that may be made for it.
    """

    task: str
    seed: int
    place: Path


Find = Callable[[Asked], Course]


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        name: as `--rows` says it.
        title: as a table says it.
        ways: label -> how a course is found; of several the best is chosen with
            hindsight, by the mean test loss over the seeds, and all are paid.
        trainings: that a way costs.
        on_base: it begins with the base optimizer: another base is another training.
        asks: who is asked, as `--lm` names it; "" for nobody.
        modules, packages, files: what it hangs on beside the tasks.
    """

    name: str
    title: str
    ways: Mapping[str, Find] = field(repr=False)
    trainings: int = 1
    on_base: bool = False
    asks: str = ""
    modules: tuple[str, ...] = ()
    packages: tuple[str, ...] = ("torch",)
    files: tuple[Path, ...] = ()

    @property
    def code(self) -> str:
        """A digest of all that its figures hang on beside the task and the seed."""
        return _code(self.modules, self.packages, self.files)

    @property
    def dear(self) -> bool:
        """It needs several trainings."""
        return self.trainings * len(self.ways) > 1

    def trained_on(self, task: str) -> str | None:
        """The name under which it is trained; None: not on this base."""
        if not is_member(task):
            return task
        member, base = parts_of(task)
        if self.dear and base not in DEAR_BASES:
            return None
        return task if self.on_base else f"{member}@sgd"


@cache
def _code(
    modules: tuple[str, ...], packages: tuple[str, ...], files: tuple[Path, ...]
) -> str:
    return code_digest((*_OF_ALL, *modules), packages, files)


def plainly(begin: Begin) -> Find:
    """One training of a task by the step that `begin` makes."""

    def find(asked: Asked) -> Course:
        task = tasks.build(asked.task, asked.seed)
        return Training(task, begin(task)).run()

    return find
