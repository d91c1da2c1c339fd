"""A sharded training made whole, so that one rank can try rules on a copy of it.

Every rank takes part in gathering; each part is let go of at once where nothing is
tried.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn

from dux_agent.errors import RanksLost
from dux_agent.live.optimizer import DuxOptimizer
from dux_agent.training.by_parts import found_by_parts
from dux_sandbox.closures import ClosureUse
from dux_sandbox.dry_runs.incumbent import copy_of_trusted
from dux_sandbox.findings import Finding
from dux_sandbox.limits import Limits
from dux_sandbox.running import ParamGroups, RuleState, parameters_of, without_params
from dux_sandbox.shards import (
    gathered,
    is_fully_sharded,
    is_sharded,
    own_part,
    reshard,
)

_OWN_NAMES = ("__composable_api_state_key", "_is_fsdp_managed", "_fsdp_")


Gather = Callable[[torch.Tensor], torch.Tensor]
AllCan = Callable[[str | None], None]
Value = TypeVar("Value")


class CannotGather(Exception):
    """A rank could not take part in making a training whole; says which, and why."""


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
    return any(map(is_fully_sharded, model.modules()))


def whole_copy(model: nn.Module, gather: Gather = gathered) -> nn.Module:
    """A copy without FSDP whose parameters are whole; all ranks call this together."""
    reshard(model)
    memo: dict[int, Any] = {}
    for each in model.parameters():
        if is_sharded(each):
            memo[id(each)] = nn.Parameter(gather(each), each.requires_grad)
    _copy_inner(model, memo)
    twin: nn.Module = copy.deepcopy(model, memo)
    return twin


def done_by_all(do: Callable[[], Value], all_can: AllCan) -> Value | None:
    """What `do` gives here, once it has given something on every rank.

    Raises:
        CannotGather: on all of them, where it has raised on one.
        RanksLost: one is gone, or still waits for what has been raised here.
    """
    done = trouble = None
    try:
        done = do()
    except (CannotGather, RanksLost):
        raise
    except Exception as error:  # whatever it is, the others wait to hear of it
        trouble = f"{type(error).__name__}: {error}"
    try:
        all_can(trouble)
    except RanksLost as lost:
        if trouble is not None:
            lost.add_note(f"Before that, on this rank: {trouble}")
        raise
    return done


def made_whole(
    model: nn.Module, live: DuxOptimizer, *, keep: bool, all_can: AllCan
) -> WholeTraining | None:
    """A copy of the whole training; all ranks call this together.

    Args:
        keep: make it here; else this rank only gives its parts.
        all_can: called before each gathering and at the end, here and on all ranks.

    Raises:
        CannotGather: on all of them, where one could not.
        RanksLost: one is gone.
    """

    def gather(tensor: torch.Tensor) -> torch.Tensor:
        if is_sharded(tensor):
            # As much as it takes on its way: one that found no memory once the others
            # had begun would leave them waiting.
            torch.empty((2, *tensor.shape), dtype=tensor.dtype, device=tensor.device)
            all_can(None)
        return gathered(tensor)

    return done_by_all(lambda: _made_whole(model, live, gather, keep=keep), all_can)


def _made_whole(
    model: nn.Module, live: DuxOptimizer, gather: Gather, *, keep: bool
) -> WholeTraining | None:
    rolled_back = live.guard.put_back
    learned = None if live.running is live.base_rule else live.rule_state()
    if live.guard.put_back != rolled_back:
        raise RuntimeError("the rule could not say what it has learned")
    wholes = parameters_of(live.param_groups)
    if not keep:
        reshard(model)
        for each in filter(is_sharded, model.parameters()):
            gather(each)
        _whole_state(live, wholes, learned, gather)
        return None
    twin = whole_copy(model, gather)
    twin_of: dict[int, torch.Tensor] = {
        id(one): other
        for one, other in zip(model.parameters(), twin.parameters(), strict=True)
    }
    memo, learned = _whole_state(live, wholes, learned, gather)
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
    live: DuxOptimizer,
    parameters: Sequence[torch.Tensor],
    learned: RuleState | None,
    gather: Gather,
) -> tuple[dict[int, torch.Tensor], RuleState | None]:
    """What the live rule has learned: by the id of what is sharded, or as a state."""
    if learned is None:
        state = live.base.state
        entries = [state[each] for each in parameters if each in state]
        found = [entry[name] for entry in entries for name in sorted(entry, key=str)]
        return {id(each): gather(each) for each in found if is_sharded(each)}, None
    whole = {
        at: {
            name: gather(value) if is_sharded(value) else value
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
