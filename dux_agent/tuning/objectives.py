"""Finds the objective of a study: a task of ours, a function in a file, a script."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dux_agent.errors import BadArgument
from dux_agent.tasks.named import builder_of, failed, in_full, needs_import
from dux_agent.tuning.code_study import task_of
from dux_agent.tuning.evaluating import Objective
from dux_agent.tuning.programs import objective_over
from dux_agent.tuning_tasks.named import KINDS, build, in_words, is_task
from dux_prompts.tuning.space import Space
from dux_prompts.tuning.space_text import space_in_source, space_of_texts
from dux_prompts.tuning.values import SpaceError

CODE = "code:"
"""What the name of a task begins with whose configurations are programs."""

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf)")


@dataclass(frozen=True)
class NamedObjective:
    """An objective with what a study needs to know of it.

    Attributes:
        name: the same in every working directory.
        objective: a configuration to what came of it.
        space: what is tuned; None where it says nothing of that.
        task: a few words for the prompt.
        defaults: its default settings, as configurations.
    """

    name: str
    objective: Objective
    space: Space | None
    task: str
    defaults: tuple[Mapping[str, Any], ...]

    def require_space(self) -> Space:
        """What is tuned.

        Raises:
            BadArgument: it says nothing of that.
        """
        if self.space is None:
            raise BadArgument(
                f"{self.name} has no space; a dict of names and real(...), whole(...) "
                f"or one_of(...) was wanted; write space = {{...}} beside it, or pass "
                f"--param 'lr=real(1e-5, 1, log=True)'."
            )
        return self.space


def find(
    name: str,
    params: Sequence[str] = (),
    *,
    code: bool = False,
    execution: str = "isolated",
) -> NamedObjective:
    """The objective of a name.

    Args:
        name: `svm:digits`, `file.py:objective`, `package.module:objective`, or
            `train.py`, a script with an option for each hyperparameter; `code:taxi`,
            whose configurations are programs.
        params: `name=real(...)` each; they count instead of its own space.
        code: programs are tuned: `taxi` is `code:taxi`, and `file.py:build` names a
            function that gives a `dux_agent.CodeTask`.
        execution: where programs run, as of `dux_agent.tune_code`.

    Raises:
        BadArgument: there is none, or its space cannot be meant.
        DuxError: its data cannot be had.
    """
    if code or name.startswith(CODE):
        return _of_programs(name, params, execution)
    if execution != "isolated":
        raise BadArgument(
            f"execution is {execution!r} and no programs are tuned; it was not wanted, "
            f"since it says where programs run; leave it out."
        )
    try:
        space = space_of_texts(params) if params else None
        if is_task(name) or _is_kind(name):
            return _of(name, build(name), space)
        if needs_import(name):
            return _of(in_full(name), builder_of(name), space)
        if name.endswith(".py"):
            path = Path(name).expanduser().absolute()
            script = Script(path, _text_of(path))
            return _of(str(path), script, space or space_in_source(script.source))
    except SpaceError as error:
        raise BadArgument(f"{name}: {error}") from None
    raise BadArgument(
        f"there is no task {name!r}; {in_words()}; {CODE}NAME; or an objective of your "
        f"own as file.py:objective or train.py, was wanted; pick one."
    )


def _of_programs(name: str, params: Sequence[str], execution: str) -> NamedObjective:
    if params:
        raise BadArgument(
            f"{name}: programs are tuned and --param is {params[0]!r}; no other "
            f"hyperparameter was wanted; leave it out."
        )
    if is_task(name):
        raise BadArgument(
            f"programs are tuned and the task is {name}, whose hyperparameters are "
            f"numbers; a data set was wanted; name {name.partition(':')[2]!r} alone, "
            f"or leave --code out."
        )
    own = needs_import(name) and not name.startswith(CODE)
    task = task_of(_built(name) if own else name)
    full = in_full(name) if own else f"{CODE}{name.removeprefix(CODE)}"
    return _of(full, objective_over(task, execution), None)


def _built(name: str) -> Any:
    """What a function of yours gives."""
    build = builder_of(name)
    try:
        return build()
    # Whatever it raises: it may ask for arguments, or for data that are not there.
    except (Exception, SystemExit) as error:
        raise failed(f"{name} gives no CodeTask", error) from error


def _is_kind(name: str) -> bool:
    """Whether a name begins as ours do, and no module of that name is here."""
    kind, colon, _ = name.partition(":")
    if not colon or kind not in KINDS or Path(kind).exists():
        return False
    return not Path(f"{kind}.py").exists() and find_spec(kind) is None


def _of(name: str, objective: Objective, space: Space | None) -> NamedObjective:
    given: Any = space
    if given is None:
        given = getattr(objective, "space", None)
    if given is None and hasattr(objective, "__globals__"):
        given = objective.__globals__.get("space")
    task = getattr(objective, "task", None) or getattr(objective, "__doc__", "") or ""
    defaults = tuple(getattr(objective, "defaults", ()))
    held = None if given is None else Space.of(given)
    return NamedObjective(name, objective, held, str(task).strip(), defaults)


@dataclass(frozen=True)
class Script:
    """A training script as an objective: run once for each configuration.

    It gets `--name value` for each hyperparameter, with dashes where it spells the
    option so. The value is the last number in the last line that it prints, or the
    "value" of a JSON object there.

    Attributes:
        path: of the script.
        source: its text.
    """

    path: Path
    source: str
    task = ""
    defaults = ()

    def __call__(self, config: Mapping[str, Any]) -> Any:
        """Run it.

        Raises:
            RuntimeError: it fails, or prints no number at its end.
        """
        words = [sys.executable, str(self.path)]
        for name, value in config.items():
            # With a sign of equality, since -1e-05 behind a space reads as an option.
            words.append(f"--{self._spelled(name)}={value}")
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        if done.returncode:
            said = _last_line(done.stderr) or "no word of why"
            raise RuntimeError(f"exit code {done.returncode}: {said}")
        line = _last_line(done.stdout)
        if line.startswith("{"):
            return json.loads(line)
        numbers = _NUMBER.findall(line)
        if not numbers:
            raise RuntimeError(f"its last line is {line[:80]!r}, without a number")
        return float(numbers[-1])

    def _spelled(self, name: str) -> str:
        dashed = name.replace("_", "-")
        return dashed if f"--{dashed}" in self.source else name


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ""


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise BadArgument(
            f"the script {path} cannot be read: {error.strerror or error}; one that "
            f"trains and prints a value was wanted; put it there, or name another."
        ) from None
