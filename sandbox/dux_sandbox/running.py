"""The rule that runs in this process."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch

from dux_sandbox.closures import Closure, ClosurePlace, ClosureUse, CountedClosure
from dux_sandbox.dropping import drop
from dux_sandbox.faults import failure, is_the_rules
from dux_sandbox.findings import Finding, RuleFailed, printable
from dux_sandbox.gradients import DenseGradients, forget
from dux_sandbox.loading import attributes_of, build_over, load, restore_attributes
from dux_sandbox.option_values import check_options, shared
from dux_sandbox.own_groups import OwnGroups
from dux_sandbox.running_rule import ParamGroups as ParamGroups
from dux_sandbox.running_rule import RuleState as RuleState
from dux_sandbox.running_rule import RunningRule as RunningRule
from dux_sandbox.running_rule import StepCost, entries_by_index
from dux_sandbox.running_rule import parameters_of as parameters_of
from dux_sandbox.runtime.kept import KEEP, check_values, require_saveable
from dux_sandbox.stepping import call_step, unhooked
from dux_sandbox.values import ValueRefused, form_of, formed, whole


def without_params(group: dict[str, Any]) -> dict[str, Any]:
    """The option values of one group."""
    return {name: value for name, value in group.items() if name != "params"}


def same_options(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two groups hold the same option values, types included."""
    return one.keys() == other.keys() and all(
        same_value(value, other[name]) for name, value in one.items()
    )


def same_value(one: Any, other: Any) -> bool:
    """Whether two option values are the same, type included."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    return bool(one == other)


def clone_value(value: Any) -> Any:
    """A deep copy of plain data with tensors; tensors are detached clones."""
    if isinstance(value, torch.Tensor):
        return whole(value.detach()).clone()
    if isinstance(value, (OrderedDict, defaultdict)):
        items = {key: clone_value(item) for key, item in value.items()}
        # A trusted optimizer may keep any; a rule was refused by now.
        with suppress(ValueRefused):
            return formed(form_of(value), items)
        return items
    if isinstance(value, dict):
        return {key: clone_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(clone_value(item) for item in value)
    return value


class InlineRule:
    """A rule whose code runs in this process.

    >>> weight = torch.nn.Parameter(torch.ones(1))
    >>> rule = InlineRule(torch.optim.SGD([weight], lr=0.5))
    >>> weight.grad = torch.ones(1)
    >>> rule.step()
    >>> float(weight)
    0.5
    """

    runs_here = True
    cost = StepCost()

    def __init__(
        self, optimizer: torch.optim.Optimizer, source: str | None = None
    ) -> None:
        """Wrap a trusted torch optimizer; `build` is for generated sources.

        Args:
            optimizer: any torch optimizer; its groups and state stay its own.
            source: the text it came from, if it was generated.
        """
        self.optimizer = optimizer
        self.source = source
        self._dropped = False
        kind = type(optimizer)
        self.digest: str | None = getattr(kind, "dux_digest", None) if source else None
        self.carry = bool(source and getattr(kind, "carry", False))
        self.requires_closure = bool(getattr(kind, "requires_closure", False))
        place = getattr(kind, "dux_closure", ClosurePlace.POSITIONAL)
        self.takes_closure = place is not ClosurePlace.NOWHERE
        self.closure_use = ClosureUse.UNKNOWN
        self.defaults: dict[str, Any] = dict(optimizer.defaults)
        self.options = [without_params(group) for group in optimizer.param_groups]
        if source is not None:
            self.defaults = shared(self.defaults)
            self.options = [shared(each) for each in self.options]
        # A trusted optimizer shares its groups with the loop, as in torch.
        self._own = OwnGroups(optimizer.param_groups) if source is not None else None

    @property
    def owned(self) -> list[set[str]]:
        """Per group, the names of the options that are the rule's own."""
        if self._own is not None:
            return self._own.owned
        defaults = set(self.optimizer.defaults)
        return [defaults & set(group) for group in self.optimizer.param_groups]

    @classmethod
    def build(cls, source: str, param_groups: ParamGroups) -> InlineRule:
        """Load a source and build its rule over these parameters, in this process.

        Raises:
            SourceRejected: the static check refuses the source.
            RuleFailed: building the rule raised.
        """
        rule_class = load(source)
        groups = [{"params": list(group["params"])} for group in param_groups]
        try:
            rule = build_over(rule_class, groups)
            check_values(rule)
            for group in rule.param_groups:
                check_options(group)
        except RuleFailed:
            raise
        # The wall round generated code: whatever it raises is a finding.
        except BaseException as error:
            if not is_the_rules(error):
                raise
            raise failure(error, "init") from None
        return cls(rule, source)

    def bind(
        self, param_groups: ParamGroups, owned: Sequence[set[str]] | None = None
    ) -> None:
        """Share these groups with the optimizer; see `RunningRule.bind`."""
        if self._own is None:
            self.optimizer.param_groups = param_groups
        else:
            self._own.bind(param_groups, owned)

    def gradients_present(self) -> list[bool]:
        """Whether each parameter has a gradient."""
        return [each.grad is not None for each in self._parameters()]

    def state_by_parameter(self) -> Mapping[torch.Tensor, dict[str, Any]]:
        """The optimizer's own state."""
        return self.optimizer.state

    def step(
        self, closure: Closure | None = None, *, seconds: float | None = None
    ) -> Any:
        """Take one step in this process; see `RunningRule.step`.

        Nothing stops it here: `seconds` are for rules that can be.
        """
        if self.source is None:
            step = unhooked(self.optimizer)
            return step() if closure is None else step(closure)
        counted = None if closure is None else CountedClosure(closure)
        if self._own is not None:
            self._own.fetch()
        try:
            with DenseGradients(self._parameters()) as gradients:
                loss = call_step(self.optimizer, counted and gradients.around(counted))
        except RuleFailed:
            raise
        # The wall round generated code: whatever it raises is a finding.
        except BaseException as error:
            if counted is not None and counted.error is not None:
                raise counted.error from None
            if not is_the_rules(error):
                raise
            raise failure(error) from None
        finally:
            if self._own is not None:
                self._own.hand_over()
        if counted is not None and counted.error is not None:
            raise counted.error
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set the gradients to None, or to zero in place."""
        forget(self._parameters(), set_to_none)

    def snapshot(self) -> RuleState:
        """Clone state and plain attributes.

        Raises:
            RuleFailed: a generated rule keeps what cannot be saved.
        """
        optimizer = self.optimizer
        attributes: dict[str, Any] = {}
        if self.source is not None:
            try:
                require_saveable(optimizer)
                attributes = attributes_of(optimizer)
            except ValueRefused as error:
                said = printable(str(error))
                raise RuleFailed(Finding("state", None, said, KEEP)) from None
        state = entries_by_index(optimizer.state, self._parameters())
        return RuleState(clone_value(state), clone_value(attributes))

    def restore(self, state: RuleState) -> None:
        """Replace state and plain attributes by clones of these."""
        self.optimizer.state.clear()
        parameters = dict(enumerate(self._parameters()))
        for index, entry in state.state.items():
            if index in parameters:
                self.optimizer.state[parameters[index]] = clone_value(entry)
        if self.source:
            restore_attributes(self.optimizer, clone_value(state.attributes))

    def rest(self) -> None:
        """Nothing to let go of."""

    def close(self) -> None:
        """Take a generated rule apart; a trusted optimizer stays as it is."""
        if self.source is None or self._dropped:
            return
        self._dropped = True
        drop(self.optimizer)

    def _parameters(self) -> list[torch.Tensor]:
        return parameters_of(self.optimizer.param_groups)
