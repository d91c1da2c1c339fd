"""What a run of a task was asked to do, as `run.json` keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dux_agent.errors import RunFolderUnusable
from dux_agent.tasks import TASKS


@dataclass(frozen=True)
class Plan:
    """The arguments of `dux_agent.train.train` that decide what a run computes.

    Attributes:
        task, seed, epochs, control, task_description, execution, every, threads: see
            there; `epochs` is a number.
        model: the language model as `--lm` names it, or the name of its class.
    """

    task: str
    seed: int
    model: str
    epochs: int
    control: bool
    task_description: str | None
    execution: str
    every: int | None
    threads: int

    def facts(self) -> dict[str, Any]:
        """It as `run.json` says it."""
        return {
            "task": self.task,
            "seed": self.seed,
            "model": self.model,
            "arguments": {
                "epochs": self.epochs,
                "control": self.control,
                "task_description": self.task_description,
                "execution": self.execution,
                "every": self.every,
                "threads": self.threads,
            },
        }

    def running(self, execution: str | None) -> Plan:
        """The same with rules that run as the caller says, not as a folder does.

        Args:
            execution: None: as here, but never in this process where it can be helped.
        """
        if execution is None:
            execution = "auto" if self.execution == "inline" else self.execution
        return replace(self, execution=execution)

    @classmethod
    def of(cls, folder: Path, facts: Mapping[str, Any]) -> Plan:
        """What the `run.json` of `folder` says.

        Raises:
            RunFolderUnusable: it was not made by `dux run`, or somebody changed it.
        """
        arguments = facts.get("arguments")
        if not isinstance(arguments, dict) or facts.get("task") not in TASKS:
            raise _foreign(folder, "no task of dux run")
        found: dict[str, Any] = {
            name: facts.get(name) for name in ("task", "seed", "model")
        }
        found |= {name: arguments.get(name) for name in _KINDS if name not in found}
        found["threads"] = arguments.get("threads", 1)
        for name, kinds in _KINDS.items():
            value = found[name]
            # A bool is an int in Python and no number of anything here.
            if not isinstance(value, kinds) or (
                isinstance(value, bool) and bool not in kinds
            ):
                raise _foreign(folder, f"{name} {value!r}")
        for name, most in _MOST.items():
            if not 1 <= (1 if found[name] is None else found[name]) <= most:
                raise _foreign(folder, f"{name} {found[name]}")
        return cls(**found)


# Numbers that a run was begun with; of others torch would make threads without end.
_MOST = {"epochs": 1_000_000, "threads": 1024, "every": 2**40}

_NONE = type(None)
_KINDS: dict[str, tuple[type, ...]] = {
    "task": (str,),
    "seed": (int,),
    "model": (str,),
    "epochs": (int,),
    "control": (bool,),
    "task_description": (str, _NONE),
    "execution": (str,),
    "every": (int, _NONE),
    "threads": (int,),
}


def _foreign(folder: Path, found: str) -> RunFolderUnusable:
    return RunFolderUnusable(
        f"{folder} is no run of `dux run`: its run.json has {found}; a folder that "
        f"`dux run` made was wanted; a run of your own loop goes on by "
        f"agent.load_state_dict()."
    )
