"""The objective of a task that is compared: evaluates each configuration once."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dux_agent.benchmarks.code_digest import code_digest
from dux_agent.benchmarks.kept_rows import name_of_file, unwritable
from dux_agent.tuning.objectives import CODE, find
from dux_agent.tuning_tasks.measures import Errors
from dux_agent.tuning_tasks.named import build
from dux_prompts.tuning.space import Config, Space

CODE_SUITE = tuple(f"{CODE}{name}" for name in ("taxi", "diabetes"))
"""Tasks whose configurations are programs; their random ones are perceptrons."""


class Evaluations:
    """Validation and test errors by configuration, whoever proposes it.

    Attributes:
        name, space, task: of the task.
        defaults: its default settings; where it has none, where a search begins.
        digest: of all that its errors hang on.
    """

    def __init__(self, name: str, folder: Path | None) -> None:
        """Those of a task.

        Args:
            folder: where they are kept from one run to the next; None: nowhere.

        Raises:
            BadArgument: there is no task of that name.
            DuxError: the folder cannot be written.
        """
        task: Any = find(name).objective if name in CODE_SUITE else build(name)
        self._objective: Callable[[Config], Any] = task
        self._minimum = float(getattr(task, "minimum", 0.0))
        self.name, self.space, self.task = name, Space(task.space), task.task
        held = [self.space.typed(each) for each in task.defaults]
        self.defaults = tuple(held) or (self.space.start(),)
        modules = (type(task).__module__, *task.made_of)
        self.digest = code_digest(modules, task.packages, task.files)
        self._known: dict[str, Errors] = {}
        self._kept: Path | None = None
        if folder is not None:
            file = f"{name_of_file(name)}-{self.digest[:16]}.jsonl"
            self._kept = folder / "evaluations" / file
            self._read(self._kept)

    def _read(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return
        except OSError as error:
            raise unwritable(path.parent, error) from None
        for line in lines:
            try:
                key, value, test = json.loads(line)
            except ValueError:
                continue  # the last line of a process that was killed
            self._known[key] = (value, math.nan if test is None else test)

    def errors(self, config: Config) -> Errors:
        """Validation and test error; NaN where there is no test error.

        Of a function whose lowest value is known the error is what is above that.
        """
        key = json.dumps(config, sort_keys=True)
        if key not in self._known:
            answer = self._objective(config)
            test = math.nan
            if isinstance(answer, dict):
                test = float(answer["report"]["test_error"])
                answer = answer["value"]
            found = (max(0.0, float(answer) - self._minimum), test)
            self._known[key] = found
            self._keep(key, found)
        return self._known[key]

    def _keep(self, key: str, found: Errors) -> None:
        if self._kept is None:
            return
        value, test = found
        line = json.dumps([key, value, None if math.isnan(test) else test])
        try:
            with self._kept.open("a", encoding="utf-8") as file:
                # A line that was cut ends here, so that it spoils no other.
                file.write(f"\n{line}\n")
        except OSError as error:
            raise unwritable(self._kept.parent, error) from None

    def __call__(self, config: Config) -> dict[str, Any]:
        """As a study calls its objective."""
        value, test = self.errors(config)
        return {"value": value, "report": test}
