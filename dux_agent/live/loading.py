"""A checkpoint on its way in: judged and built whole before anything changes.

`prepare` raises whatever there is to say against it and leaves the live optimizer bit
for bit as it is; `PreparedLoad.take_over` raises nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import torch

from dux_agent.live.aftermath import Aftermath
from dux_agent.live.ending import end_all
from dux_agent.live.group_options import Options, options_of, rewrite
from dux_agent.live.guard_state import PreparedGuard, prepare_guard
from dux_agent.live.guarded_slot import GuardedSlot
from dux_agent.live.hooks import silenced
from dux_agent.live.parameter_identity import require_same_identities
from dux_agent.live.plain_state import raised
from dux_agent.live.rates import SavedRates
from dux_agent.live.saved_checkpoint import (
    CheckpointRefused,
    SavedCheckpoint,
    opened,
    readable,
    refused,
)
from dux_agent.live.spoilt_state import prepare_aftermath
from dux_sandbox.findings import RuleFailed, SourceRejected, digest_of
from dux_sandbox.group_shares import number_in
from dux_sandbox.option_values import rate_fault
from dux_sandbox.running import RuleState, RunningRule, parameters_of
from dux_sandbox.stock_state import check_loaded

_LOADED = "a checkpoint was loaded"
_TORCHS_LOAD = torch.optim.Optimizer.load_state_dict


def prepare(
    live: GuardedSlot, state_dict: Any, guard: Mapping[str, Any] | None = None
) -> PreparedLoad:
    """Judge and build what `DuxOptimizer.load_state_dict` is given.

    Args:
        live: left as it is.
        state_dict: a checkpoint of a live optimizer or of its base.
        guard: what `pack_guard` gave with it; None: the rule is guarded anew.

    Raises:
        CheckpointRefused: it is damaged, a source in it is not what its digest says,
            the static check refuses it, or its rule cannot be built.
        ValueError: it was taken over other groups or parameters.
    """
    saved = opened(state_dict)
    _require_same_groups(live, saved.groups)
    _require_rates(saved.groups)
    state = _state_by_index(live, saved)
    require_same_identities(parameters_of(live.param_groups), saved.makes, state)
    if saved.source is None:
        base = _loaded_base(live, saved)
        with readable("what the guard remembered"):
            aftermath = prepare_aftermath(live, (guard or {}).get("aftermath"))
        return PreparedLoad(live, saved, None, base, None, aftermath)
    rule = _built(live, saved.source, saved, RuleState(state, saved.attributes))
    load = PreparedLoad(live, saved, rule, {}, None)
    try:
        if guard is not None:
            load = replace(load, guard=prepare_guard(live, guard))
        if load.guard is not None:
            load.guard.require_sound_base(saved.base_options)
    except BaseException:
        load.drop()
        raise
    return load


def _require_rates(groups: list[dict[str, Any]]) -> None:
    """Raise CheckpointRefused where no optimizer could step at a group's rate."""
    for group in groups:
        rate = group.get("lr", 0.0)
        # A schedule that computes with NumPy leaves numbers of its types.
        plain = None if isinstance(rate, torch.Tensor | bool) else number_in(rate)
        fault = rate_fault(rate if plain is None else plain)
        if fault is not None:
            raise refused(fault)


@dataclass(frozen=True, eq=False)
class PreparedLoad:
    """A checkpoint whose rules run already; to take over, or to drop.

    Attributes:
        base: the base optimizer's attributes as loaded.
    """

    live: GuardedSlot
    saved: SavedCheckpoint
    rule: RunningRule | None
    base: dict[str, Any]
    guard: PreparedGuard | None
    aftermath: Aftermath | None = None

    def take_over(self) -> None:
        """Make the live optimizer go on from it; ends the rules that it replaces."""
        live = self.live
        before, waited = live.running, live.guard.waiting
        if self.rule is None:
            self._take_base()
        else:
            self._take_rule(self.rule)
        live.schedule.go_on_from(
            self._rates(live.base_predecessor.options), live.base_predecessor.options
        )
        live.steps = self.saved.steps
        end_all(live.param_groups, before, waited)
        if before is not live.base_rule and before.digest != live.running.digest:
            live.guard.tell_ended(before, _LOADED)
        if waited is not None:
            here = live.guard.waiting
            if here is None or here.digest != waited.digest:
                live.guard.tell_lost(_LOADED)

    def drop(self) -> None:
        """End the rules that were built for it."""
        if self.rule is not None:
            self.rule.close()
        if self.guard is not None:
            self.guard.drop()

    def _take_base(self) -> None:
        live, groups = self.live, self.live.param_groups
        vars(live.base).update(self.base)
        for group, loaded in zip(groups, live.base.param_groups, strict=True):
            rewrite(group, options_of(loaded))
        # load_state_dict gave the base optimizer dicts of its own: share again.
        owned = [set(live.base.defaults) & set(group) for group in groups]
        live.schedule.reset()
        live.make_live(live.base_rule, owned)
        live.guard.disarm()
        live.guard.aftermath = self.aftermath

    def _take_rule(self, rule: RunningRule) -> None:
        live, saved = self.live, self.saved
        live.base_options = self._base_options(live.base_predecessor.options)
        for group, options in zip(live.param_groups, saved.groups, strict=True):
            rewrite(group, {k: v for k, v in options.items() if k != "params"})
        owned = [set(rule.defaults) & set(group) for group in live.param_groups]
        if len(saved.owned) == len(owned):
            # A name may be in the group and be the user's: what was written down
            # counts.
            owned = [set(names) for names in saved.owned]
        live.schedule.reset()
        live.make_live(rule, owned)
        # The weights may be loaded after this: the guard looks at the first step.
        live.guard.arm(live.base_predecessor, None)
        if self.guard is not None:
            self.guard.take_over()

    def _base_options(self, here: list[Options]) -> list[Options]:
        there = self.saved.base_options
        if len(there) != len(here):
            return here
        names = set(self.live.base.defaults)
        return [
            {**mine, **{name: each[name] for name in names & set(each)}}
            for mine, each in zip(here, there, strict=True)
        ]

    def _rates(self, base: list[Options]) -> SavedRates:
        """What the schedule goes on from; the groups hold what they held then."""
        if self.saved.rates is not None:
            return self.saved.rates
        scales = [1.0] * len(base)
        if self.rule is None:
            return SavedRates(references=[None] * len(base), scales=scales)
        # An older checkpoint says nothing of the schedule: what the base optimizer had
        # at the swap is the nearest that is known.
        shown = [number_in(group.get("lr")) for group in self.live.param_groups]
        own = [number_in(options.get("lr")) for options in base]
        pairs = zip(shown, own, strict=True)
        return SavedRates(
            own=own,
            references=[
                [now, was] if now is not None and was else None for now, was in pairs
            ],
            shown=shown,
            scales=scales,
        )


def _require_same_groups(live: GuardedSlot, saved: list[dict[str, Any]]) -> None:
    here = [len(group["params"]) for group in live.param_groups]
    there = [len(group["params"]) for group in saved]
    if here != there:
        raise ValueError(
            f"the checkpoint has groups of {there} parameters and the optimizer of "
            f"{here}; load it into an optimizer over the same parameter groups."
        )


def _state_by_index(
    live: GuardedSlot, saved: SavedCheckpoint
) -> dict[int, dict[str, Any]]:
    """The state keyed by place; a checkpoint may key it by any name it likes."""
    parameters = parameters_of(live.param_groups)
    names = list(chain.from_iterable(group["params"] for group in saved.groups))
    place = {name: index for index, name in enumerate(names)}
    entries: dict[int, dict[str, Any]] = {}
    for name, entry in saved.state.items():
        if name not in place or not isinstance(entry, dict):
            continue
        index = place[name]
        # The base optimizer copies for itself, and may keep what is no plain data.
        copied = saved.source is not None
        entries[index] = raised(entry, parameters[index].device) if copied else entry
    return entries


def _loaded_base(live: GuardedSlot, saved: SavedCheckpoint) -> dict[str, Any]:
    """The attributes that the base optimizer has after a load; it has its own again.

    torch gives it new dicts; the ones that it had are not written to.
    """
    base = live.base
    before = dict(vars(base))
    wanted = live.base_predecessor.owned[0]  # the groups may hold a rule's options now
    try:
        base.defaults = dict(base.defaults)  # torch adds to them as it loads
        with silenced(base):
            try:
                base.load_state_dict(
                    {**saved.more, "state": saved.state, "param_groups": saved.groups}
                )
            except (LookupError, TypeError, AttributeError, RuntimeError) as error:
                if type(base).load_state_dict is not _TORCHS_LOAD:
                    raise  # it says itself what it wants
                said = f"{type(error).__name__}: {error}"
                raise refused(
                    f"{type(base).__name__} cannot load its state ({said})"
                ) from None
        _require_options(base, wanted)
        try:
            check_loaded(base, base.state.items())
        except ValueError as error:
            raise refused(f"its state would end a step: {error}") from None
        return {**vars(base), "defaults": before["defaults"]}
    finally:
        vars(base).clear()
        vars(base).update(before)


def _require_options(base: torch.optim.Optimizer, wanted: set[str]) -> None:
    """Raise ValueError where a base optimizer could not step with what it loaded."""
    lacking = wanted - set(base.param_groups[0])
    if lacking:
        raise ValueError(
            f"the checkpoint tells of no rule and its groups lack "
            f"{', '.join(sorted(lacking))}; one of {type(base).__name__} or of the "
            f"live optimizer, with its record, was wanted; save the state_dict whole "
            f"(flatten_optimizer_state_dict drops the record). Nothing was changed."
        )


def _built(
    live: GuardedSlot, source: str, saved: SavedCheckpoint, learned: RuleState
) -> RunningRule:
    here = live.guard.snapshot()
    try:
        return live.built_again(source, learned, saved.closure_use, mode=saved.mode)
    except (RuleFailed, SourceRejected) as error:
        findings = (
            (error.finding,)
            if isinstance(error, RuleFailed)
            else tuple(error.report.findings)
        )
        raise CheckpointRefused(digest_of(source), findings) from None
    finally:
        here.restore()  # what building it may have written
