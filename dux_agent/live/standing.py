"""A rule that waits behind the live one; a closure that tells whose error it was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dux_agent.live.group_options import Options
from dux_sandbox.closures import Closure
from dux_sandbox.running import RunningRule


@dataclass
class Standing:
    """A rule that is not live and could be again.

    Attributes:
        rule: keeps its state itself while others are live.
        owned: per group, the names of the options that are its own.
        options: per group, their values when it was replaced.
    """

    rule: RunningRule
    owned: list[set[str]]
    options: list[Options]


class CallersClosure:
    """The caller's closure; remembers what it raised."""

    def __init__(self, closure: Closure) -> None:
        self._closure = closure
        self.error: BaseException | None = None

    def __call__(self) -> Any:
        try:
            return self._closure()
        except BaseException as error:
            self.error = error
            raise
