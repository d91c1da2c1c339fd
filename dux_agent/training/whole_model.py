"""A sharded training made whole, so that one rank can try rules on a copy of it.

Every rank takes part in gathering; each part is let go of at once where nothing is
tried.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from dux_agent.live.optimizer import DuxOptimizer
from dux_agent.training.by_parts import found_by_parts
from dux_sandbox.closures import ClosureUse
from dux_sandbox.dry_runs.incumbent import copy_of_trusted
from dux_sandbox.findings import Finding
from dux_sandbox.limits import Limits
from dux_sandbox.running import ParamGroups, RuleState, parameters_of, without_params
from dux_sandbox.shards import gathered, is_sharded, own_part

_OWN_NAMES = ("__composable_api_state_key", "_is_fsdp_managed", "_fsdp_")


@dataclass(frozen=True)
class WholeRule:
    """What is known of a live rule, with all of what it has learned.

    Attributes:
        source, owned, closure_use, runs_here: see `RunningRule`.
        learned: whole tensors.
    """

    source: str | None
    owned: list[set[str]]
    closure_use: ClosureUse
    runs_here: bool
    learned: RuleState

    def snapshot(self) -> RuleState:
        """What it has learned."""
        return self.learned


@dataclass(frozen=True)
class WholeOptimizer:
    """A live optimizer as a dry run wants to see one.

    Attributes:
        param_groups: the live options, over whole parameters.
        running: the live rule.
    """

    param_groups: ParamGroups
    running: WholeRule


@dataclass(frozen=True)
class WholeTraining:
    """A model and its optimizer, as if one process had trained them.

    Attributes:
        model: a copy without FSDP.
        optimizer: one of the base's kind, or a `WholeOptimizer`.
    """

    model: nn.Module
    optimizer: Any

    @property
    def pair(self) -> tuple[nn.Module, Any]:
        """Both."""
        return self.model, self.optimizer

    def found_by_parts(
        self, source: str, live: DuxOptimizer, limits: Limits
    ) -> Finding | None:
        """What speaks against a rule that would step the parts that are here."""
        parts = [own_part(each).shape for each in parameters_of(live.param_groups)]
        return found_by_parts(source, self.optimizer.param_groups, parts, limits)


def model_is_sharded(model: nn.Module) -> bool:
    """Whether this rank holds a part of any of its parameters.

    After a forward pass alone a module may still hold them whole.
    """
    return any(_plain_kind(each) is not type(each) for each in model.modules())


def whole_copy(model: nn.Module) -> nn.Module:
    """A copy without FSDP whose parameters are whole; all ranks call this together."""
    _reshard(model)
    memo: dict[int, Any] = {}
    for each in model.parameters():
        if is_sharded(each):
            memo[id(each)] = nn.Parameter(gathered(each), each.requires_grad)
    _copy_inner(model, memo)
    twin: nn.Module = copy.deepcopy(model, memo)
    return twin


def _reshard(model: nn.Module) -> None:
    for module in model.modules():
        if _plain_kind(module) is not type(module):
            module.reshard()  # type: ignore[operator]


def made_whole(
    model: nn.Module, live: DuxOptimizer, *, keep: bool
) -> WholeTraining | None:
    """A copy of the whole training; all ranks call this together.

    Args:
        keep: make it here; else this rank only gives its parts.
    """
    learned = None if live.running is live.base_rule else live.rule_state()
    wholes = parameters_of(live.param_groups)
    if not keep:
        _reshard(model)
        for each in model.parameters():
            gathered(each)
        _whole_state(live, wholes, learned)
        return None
    twin = whole_copy(model)
    twin_of: dict[int, torch.Tensor] = {
        id(one): other
        for one, other in zip(model.parameters(), twin.parameters(), strict=True)
    }
    memo, learned = _whole_state(live, wholes, learned)
    if learned is None:
        return WholeTraining(twin, copy_of_trusted(live.base, {**twin_of, **memo}))
    groups = [
        {**without_params(group), "params": [twin_of[id(p)] for p in group["params"]]}
        for group in live.param_groups
    ]
    rule = live.running
    known = rule.source, rule.owned, rule.closure_use, rule.runs_here
    return WholeTraining(twin, WholeOptimizer(groups, WholeRule(*known, learned)))


def _whole_state(
    live: DuxOptimizer, parameters: Sequence[torch.Tensor], learned: RuleState | None
) -> tuple[dict[int, torch.Tensor], RuleState | None]:
    """What the live rule has learned: by the id of what is sharded, or as a state."""
    if learned is None:
        state = live.base.state
        entries = [state[each] for each in parameters if each in state]
        found = [entry[name] for entry in entries for name in sorted(entry, key=str)]
        return {id(each): gathered(each) for each in found if is_sharded(each)}, None
    whole = {
        at: {
            name: gathered(value) if is_sharded(value) else value
            for name, value in sorted(entry.items())
        }
        for at, entry in sorted(learned.state.items())
    }
    return {}, RuleState(whole, learned.attributes)


def _copy_inner(module: nn.Module, memo: dict[int, Any]) -> None:
    """Put the copies of all modules that FSDP has changed into `memo`, inner first."""
    for child in module.children():
        if id(child) not in memo:
            _copy_inner(child, memo)
    kind = _plain_kind(module)
    if kind is type(module) or id(module) in memo:
        return
    twin = kind.__new__(kind)
    memo[id(module)] = twin
    own = {
        name: _without_its_hooks(value)
        for name, value in vars(module).items()
        if not name.startswith(_OWN_NAMES)
    }
    vars(twin).update(copy.deepcopy(own, memo))


def _plain_kind(module: nn.Module) -> type[nn.Module]:
    """The class that `fully_shard` found, before it mixed its own into it."""
    kind = type(module)
    mixed = kind.__bases__
    if len(mixed) == 2 and mixed[0].__name__ == "FSDPModule":
        return mixed[1]
    return kind


def _without_its_hooks(value: Any) -> Any:
    """A table of hooks without FSDP's own; anything else is handed back itself."""
    if (
        not isinstance(value, dict)
        or not value
        or not all(map(callable, value.values()))
    ):
        return value
    left = copy.copy(value)
    for key, hook in value.items():
        owner = type(getattr(getattr(hook, "hook", hook), "__self__", None))
        if owner.__module__.startswith("torch.distributed."):
            del left[key]
    return left
