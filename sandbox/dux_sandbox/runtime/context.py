"""What the guards of one loaded source remember: its classes, its rules, its budget."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

import torch

from dux_sandbox.language import vocabulary
from dux_sandbox.runtime import budget


class Runaway(BaseException):
    """A loop used up its turns. No `except` of a source can name or catch it; it
    becomes a `TurnsUsedUp` before it leaves the rule."""


class TurnsUsedUp(RuntimeError):
    """The `while` loops of one step took more turns than they may.

    This is a limit without a clock: it is reached at the same turn on every machine.
    """

    def __init__(self) -> None:
        super().__init__(f"its while loops took more than {vocabulary.TURNS} turns")


class Context:
    """Shared by the guards of one source; never reachable from it.

    Attributes:
        classes: the classes that the source has made.
        mixins: those of them that are no optimizers but stand among an optimizer's
            bases: what is written on them appears on rules.
        building: ids of rules whose `__init__` is running.
        regrouping: ids of rules whose own `add_param_group` or `load_state_dict` the
            training loop has called.
        restoring: ids of rules whose `__setstate__` is running.
        depth: how many methods of rules are running, one inside the other.
        numbers: types that stand for numbers while a rule is recorded.
    """

    def __init__(self) -> None:
        self.classes: set[type] = set()
        self.mixins: set[type] = set()
        self.building: set[int] = set()
        self.regrouping: set[int] = set()
        self.restoring: set[int] = set()
        self.depth = 0
        self.numbers: frozenset[type] = frozenset()
        self._turns = 0
        self._rules: list[weakref.ref[torch.optim.Optimizer]] = []

    def tick(self) -> bool:
        """Count one turn of a `while`; true, so that it can stand before its test.

        Raises:
            Runaway: more than `vocabulary.TURNS` turns in one step.
        """
        self._turns += 1
        if self._turns > vocabulary.TURNS:
            raise Runaway
        return True

    def fresh_budget(self) -> None:
        """Begin to count turns again."""
        self._turns = 0
        budget.fresh()

    def remember(self, rule: torch.optim.Optimizer) -> None:
        """Guard the groups of this rule from now on, as long as it lives."""
        if all(ref() is not rule for ref in self._rules):
            self._rules = [ref for ref in self._rules if ref() is not None]
            self._rules.append(weakref.ref(rule))

    def groups(self) -> Iterator[list[dict[str, Any]]]:
        """`param_groups` of every living rule of this source."""
        for ref in self._rules:
            rule = ref()
            if rule is not None:
                groups = rule.__dict__.get("param_groups")
                if groups is not None:
                    yield groups

    def check_list(self, items: list[Any] | Any) -> None:
        """Refuse to change a list that holds the groups or parameters of a rule.

        Raises:
            TypeError: it is such a list.
        """
        for groups in self.groups():
            if groups is items or any(g.get("params") is items for g in groups):
                raise TypeError(
                    "param_groups and the parameters of a group are fixed; "
                    "copy them first: params = list(group['params'])"
                )

    def check_group(self, options: dict[str, Any]) -> None:
        """Refuse to change the parameters of a group, by its dict.

        Raises:
            TypeError: `options` is a group of a living rule.
        """
        for groups in self.groups():
            if any(group is options for group in groups):
                raise TypeError(
                    "the parameters of a group are fixed; write only options "
                    "such as group['lr']"
                )

    def check_building(self, rule: object, name: str) -> None:
        """Refuse what only a constructor may do.

        Raises:
            TypeError: `rule` is not under construction by its own `__init__`.
        """
        allowed = self.building
        if name != "__init__":
            allowed = self.building | self.regrouping
        if id(rule) not in allowed:
            raise TypeError(
                f"{name} may be called only from __init__; "
                f"groups and parameters belong to the training loop afterwards"
            )
