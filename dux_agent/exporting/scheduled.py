"""An optimizer that changes its rule at given steps; exported schedules hold it.

It imports torch and nothing of ours: its text, from behind its `__future__` line on,
becomes a part of the module that is exported.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch

Rule = Callable[[Any], torch.optim.Optimizer]


class ScheduledOptimizer(torch.optim.Optimizer):
    """Takes its steps with one rule after another, each from the step it is due.

    Each rule is built over the same parameters with its own defaults when its turn
    comes; state is carried over where that is asked for. `param_groups` stay the same
    dicts throughout, so that learning rate schedulers keep working.
    """

    def __init__(self, params: Any, base: Rule, switches: list[Any]) -> None:
        """Begin with `base`.

        Args:
            params: as any torch optimizer takes them.
            base: builds the first rule from a list of groups.
            switches: `(step, rule, carry)` by step: after `step` steps `rule` takes
                over; with `carry`, state of equal name, shape and dtype goes along.
        """
        self.steps = 0
        self._switches = switches
        self._place = 0
        self._rule: torch.optim.Optimizer | None = None
        super().__init__(params, {})
        # What every optimizer has; the rest of a rule's attributes are its own.
        self._plain = {*vars(self), "state"}
        self._take(self._built(base))

    @property
    def state(self) -> Any:
        """The state of the rule that is live, by parameter."""
        return {} if self._rule is None else self._rule.state

    @state.setter
    def state(self, value: Any) -> None:
        """torch's constructor sets it; the live rule's own is what counts."""

    def step(self, closure: Any = None) -> Any:
        """Take one step, with the next rule from now on if it is due."""
        while self._place < len(self._switches):
            due, rule, carry = self._switches[self._place]
            if self.steps < due:
                break
            before = self._rule
            made = self._built(rule)
            self._take(made)
            if carry and before is not None:
                self._carry_over(before, made)
            self._place += 1
        assert self._rule is not None
        loss = self._rule.step() if closure is None else self._rule.step(closure)
        self.steps += 1
        return loss

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; rules that come later are built over it too."""
        if self._rule is None:
            super().add_param_group(param_group)
        else:
            self._rule.add_param_group(param_group)

    def state_dict(self) -> dict[str, Any]:
        """What the live rule has learned, and how far the schedule is."""
        assert self._rule is not None
        return {
            **self._rule.state_dict(),
            "schedule": {
                "steps": self.steps,
                "place": self._place,
                "attributes": self._attributes(self._rule),
            },
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave; the rule that was live is built anew."""
        packed = dict(state_dict)
        schedule = packed.pop("schedule")
        self.steps, self._place = schedule["steps"], schedule["place"]
        if self._place:
            self._take(self._built(self._switches[self._place - 1][1]))
        assert self._rule is not None
        self._rule.load_state_dict(packed)
        loaded = self._rule.param_groups
        for group, held in zip(self.param_groups, loaded, strict=True):
            group.update(held)
        self._rule.param_groups = self.param_groups
        vars(self._rule).update(copy.deepcopy(schedule["attributes"]))

    def _built(self, rule: Rule) -> torch.optim.Optimizer:
        random = torch.get_rng_state()
        try:
            return rule([{"params": list(g["params"])} for g in self.param_groups])
        finally:
            torch.set_rng_state(random)

    def _take(self, rule: torch.optim.Optimizer) -> None:
        """Put the rule's own options into the groups, in place of the last one's."""
        gone = set() if self._rule is None else set(self._rule.defaults)
        for group, made in zip(self.param_groups, rule.param_groups, strict=True):
            for name in gone - {"params", "lr"} - set(made):
                group.pop(name, None)
            for name, value in made.items():
                if name != "params":
                    group[name] = value
        rule.param_groups = self.param_groups
        self.defaults = rule.defaults
        self._rule = rule

    def _attributes(self, rule: torch.optim.Optimizer) -> dict[str, Any]:
        """What the rule keeps on itself; its parameters stay the same objects."""
        held = {k: v for k, v in vars(rule).items() if k not in self._plain}
        same = {id(p): p for group in self.param_groups for p in group["params"]}
        return copy.deepcopy(held, same)

    def _carry_over(
        self, old: torch.optim.Optimizer, new: torch.optim.Optimizer
    ) -> None:
        """Give a rule that has not stepped yet the entries of `old` that fit.

        A rule makes its state in its first step, so it takes one on zero gradients;
        then everything but the state is put back.
        """
        parameters = [p for group in self.param_groups for p in group["params"]]
        values = [p.detach().clone() for p in parameters]
        gradients = [p.grad for p in parameters]
        options = [dict(group) for group in self.param_groups]
        attributes = self._attributes(new)
        random = torch.get_rng_state()
        for p in parameters:
            known = p.requires_grad and p in old.state
            p.grad = torch.zeros_like(p) if known else None
        new.step()
        torch.set_rng_state(random)
        vars(new).update(attributes)
        for group, held in zip(self.param_groups, options, strict=True):
            group.clear()
            group.update(held)
        fitted = 0
        with torch.no_grad():
            for p, value, gradient in zip(parameters, values, gradients, strict=True):
                p.copy_(value)
                p.grad = gradient
        for p in parameters:
            target = new.state.get(p, {})
            for name, entry in old.state.get(p, {}).items():
                if name in target and _alike(entry, target[name]):
                    target[name] = entry
                    fitted += 1
        if not fitted:
            new.state.clear()


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.shape == other.shape and one.dtype == other.dtype
    numbers = (int, float)
    return (
        isinstance(one, numbers)
        and isinstance(other, numbers)
        and not isinstance(one, bool)
        and not isinstance(other, bool)
    )
