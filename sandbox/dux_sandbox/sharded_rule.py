"""A rule over the parts of its parameters that this rank holds."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import torch
from torch import nn

from dux_sandbox.closures import Closure
from dux_sandbox.gradients import forget
from dux_sandbox.running_rule import (
    ParamGroups,
    RuleState,
    RunningRule,
    parameters_of,
)
from dux_sandbox.shards import as_part_of, is_sharded, own_part


class ShardedRule:
    """Steps the parts of sharded parameters that are here, each by its part's gradient.

    Only a rule that moves each element by what is known of that element does the same
    to parts as to the whole; see `dux_agent.training.by_parts`. What it has learned is
    told as sharded as the parameters are. Everything else is the rule's own.
    """

    def __init__(self, rule: RunningRule, groups: ParamGroups, parts: ParamGroups):
        """For `build`; use that."""
        self._rule, self._parts = rule, parts
        self._shared = groups

    @classmethod
    def build(
        cls, build: Callable[[ParamGroups], RunningRule], groups: ParamGroups
    ) -> Self:
        """Have `build` make a rule over groups of parts.

        Raises:
            Whatever `build` raises.
        """
        parts: ParamGroups = [
            {"params": [_part(each) for each in group["params"]]} for group in groups
        ]
        return cls(build(parts), groups, parts)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rule, name)

    def bind(
        self, param_groups: ParamGroups, owned: Sequence[set[str]] | None = None
    ) -> None:
        """See `RunningRule.bind`."""
        self._shared = param_groups
        self._fetch()
        self._rule.bind(self._parts, owned)

    def gradients_present(self) -> list[bool]:
        """Whether each parameter has a gradient."""
        return [each.grad is not None for each in parameters_of(self._shared)]

    def state_by_parameter(self) -> Mapping[torch.Tensor, dict[str, Any]]:
        """By the sharded parameter; its tensors are sharded alike."""
        kept = self._rule.state_by_parameter()
        return {
            whole: _sharded(kept[part], whole)
            for whole, part in self._pairs()
            if part in kept
        }

    def step(
        self, closure: Closure | None = None, *, seconds: float | None = None
    ) -> Any:
        """Take one step; see `RunningRule.step`."""
        if "agree" in vars(self):
            vars(self._rule)["agree"] = vars(self)["agree"]
        self._fetch()
        self._hand_gradients()
        around = None if closure is None else self._around(closure)
        try:
            return self._rule.step(around, seconds=seconds)
        finally:
            forget(parameters_of(self._parts), True)
            self._hand_over()

    def _around(self, closure: Closure) -> Closure:
        def call() -> Any:
            loss = closure()
            self._hand_gradients()
            return loss

        return call

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters."""
        forget(parameters_of(self._shared), set_to_none)

    def snapshot(self) -> RuleState:
        """What it has learned, sharded as the parameters are. Raises RuleFailed."""
        learned = self._rule.snapshot()
        wholes = parameters_of(self._shared)
        state = {at: _sharded(each, wholes[at]) for at, each in learned.state.items()}
        return RuleState(state, learned.attributes)

    def restore(self, state: RuleState) -> None:
        """Put the parts of what `snapshot` gave in place of all. Raises RuleFailed."""
        parts = {
            at: {name: _part_in(value) for name, value in entry.items()}
            for at, entry in state.state.items()
        }
        self._rule.restore(RuleState(parts, state.attributes))

    def _pairs(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        wholes, parts = parameters_of(self._shared), parameters_of(self._parts)
        return list(zip(wholes, parts, strict=True))

    def _hand_gradients(self) -> None:
        for whole, part in self._pairs():
            gradient = whole.grad
            part.grad = None if gradient is None else own_part(gradient)

    def _fetch(self) -> None:
        """Take over the loop's options, and where its parameters lie by now."""
        for mine, group in zip(self._parts, self._shared, strict=False):
            params = mine["params"]
            mine.clear()
            mine.update(group)
            mine["params"] = params
        for whole, part in self._pairs():
            here = own_part(whole)
            if part.data_ptr() != here.data_ptr():
                part.data = here
            part.requires_grad_(whole.requires_grad)

    def _hand_over(self) -> None:
        """Give the loop's groups what the rule wrote into its options."""
        for mine, group in zip(self._parts, self._shared, strict=False):
            for name in set(group) - set(mine):
                del group[name]
            for name, value in mine.items():
                if name != "params" and group.get(name) is not value:
                    group[name] = value


def over_parts(
    build: Callable[[ParamGroups], RunningRule], groups: ParamGroups
) -> RunningRule:
    """What `build` makes of these groups; over parts where a parameter is sharded.

    Raises:
        Whatever `build` raises.
    """
    if not any(map(is_sharded, parameters_of(groups))):
        return build(groups)
    rule: Any = ShardedRule.build(build, groups)
    return rule  # type: ignore[no-any-return]


def _part(whole: torch.Tensor) -> nn.Parameter:
    return nn.Parameter(own_part(whole), requires_grad=whole.requires_grad)


def _part_in(value: Any) -> Any:
    return own_part(value) if isinstance(value, torch.Tensor) else value


def _sharded(entry: Mapping[str, Any], whole: torch.Tensor) -> dict[str, Any]:
    return {name: as_part_of(value, whole) for name, value in entry.items()}
