"""What torch and its tools touch of an optimizer, for one whose rule is replaced.

Attributes that are assigned, copies, saves and loads, hooks, names that only the base
optimizer has: each works while a rule is live, or says why it cannot.
"""

from collections.abc import Mapping
from typing import Any, NoReturn

import torch

from dux_agent.live.base_names import reached
from dux_agent.live.base_state import reduced_to_base, state_of_base, twin_of_base
from dux_agent.live.checkpoint import pack
from dux_agent.live.group_options import options_of, rewrite
from dux_agent.live.guarded_slot import GuardedSlot
from dux_agent.live.hooks import eager
from dux_agent.live.loading import prepare
from dux_agent.live.state_look import by_index
from dux_sandbox.dry_runs.scratch import made_for_a_trial
from dux_sandbox.running_rule import ParamGroups, RuleState


class OptimizerFace(GuardedSlot, torch.optim.Optimizer):
    """The part of `DuxOptimizer` that is asked for by others' names."""

    _made: bool

    @property
    def param_groups(self) -> ParamGroups:
        """The groups, with the options of the rule that is live and its rates."""
        self.schedule.look()
        return self._groups

    @param_groups.setter
    def param_groups(self, value: list[dict[str, Any]]) -> None:
        if self._made:
            self._take_options(value)
        else:
            self._groups = value

    def _take_options(self, groups: Any) -> None:
        """Options of groups that were assigned; schedulers hold on to our own dicts.

        Raises:
            ValueError: they are of other parameters.
        """
        own = self._groups
        if groups is own:
            return
        named = isinstance(groups, list) and all(
            isinstance(group, dict) and "params" in group for group in groups
        )
        stepped = [[id(each) for each in group["params"]] for group in own]
        given = [[id(p) for p in group["params"]] for group in groups] if named else []
        if given != stepped:
            raise ValueError(
                "optimizer.param_groups was given groups of other parameters than it "
                "steps; the same in the same order were wanted, with any options; "
                "call add_param_group for more, or attach again for others."
            )
        for mine, theirs in zip(own, groups, strict=True):
            if mine is not theirs:
                rewrite(mine, options_of(theirs))

    @property
    def defaults(self) -> dict[str, Any]:
        """The defaults of the rule that is live."""
        return self.running.defaults

    @defaults.setter
    def defaults(self, value: dict[str, Any]) -> None:
        """torch's constructor sets them; the live rule's own are what counts."""

    @property
    def state(self) -> Any:
        """The live rule's state by parameter.

        It is the own mapping of a rule that runs here. Of another copies are fetched
        from its process; what is written into them before the next step reaches it.
        Assigning a mapping replaces the state.
        """
        self.meet_groups()
        rule = self.running
        if not rule.runs_here and not self._look.holds(rule):
            learned = self.rule_state()
            if self.running is rule:
                self._look.at(rule, learned, self._groups)
        rule = self.running  # fetching it may have rolled that one back
        if rule.runs_here:
            return rule.state_by_parameter()
        return self._look.at(rule, RuleState(), self._groups)

    @state.setter
    def state(self, value: Any) -> None:
        if not self._made:
            return  # torch's constructor
        if self.running is self.base_rule:
            self.base.state = value
            return
        self._look.taken_back()
        rule, learned = self.running, self.rule_state()
        if self.running is not rule:
            self.state = value  # fetching it has rolled that rule back
            return
        self._put(rule, RuleState(by_index(value, self._groups), learned.attributes))

    @property
    def _step_supports_amp_scaling(self) -> bool:
        """A fused base optimizer unscales gradients itself; a rule does not."""
        live = self.running is self.base_rule
        return live and bool(getattr(self.base, "_step_supports_amp_scaling", False))

    @eager
    def state_dict(self) -> dict[str, Any]:
        """State and groups in torch's own layout; see `dux_agent.live.checkpoint`.

        Raises:
            TrainingDiverged: without a language model, when what a device has told
                late leaves no rollback.
        """
        for hook in self._optimizer_state_dict_pre_hooks.values():
            hook(self)
        if self.guard.alone:  # else a rank that saves alone would go back alone
            self.guard.settle()
        packed = pack(self)
        for hook_after in self._optimizer_state_dict_post_hooks.values():
            changed = hook_after(self, packed)
            packed = packed if changed is None else changed
        return packed

    @eager
    def base_state_dict(self) -> dict[str, Any]:
        """What the base optimizer loads, for a loop without dux-agent to go on from.

        State and groups of the base optimizer as it would be live again: with its own
        options, its state of when a rule took its place, and the rates of the schedule.
        No hook of saves is called, and the tensors are the live ones, as torch has it.
        """
        return state_of_base(self)

    def __deepcopy__(self, memo: dict[Any, Any]) -> Any:
        """The base optimizer, over copies; itself in a copy for a dry run."""
        return self if made_for_a_trial(memo) else twin_of_base(self, memo)

    def __reduce_ex__(self, protocol: Any) -> str | tuple[Any, ...]:
        """A pickle of it is one of the base optimizer."""
        return reduced_to_base(self, protocol)

    def __copy__(self) -> NoReturn:
        """A second optimizer of the same weights would step beside the guard.

        Raises:
            TypeError: always.
        """
        raise TypeError(
            "the live optimizer was to be copied by copy.copy; one that shares nothing "
            "with it was wanted; take copy.deepcopy, which gives the base optimizer, "
            "or base_state_dict()."
        )

    @eager
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint of this class or of the base optimizer.

        The source in it is checked again before anything is changed, and the rule is
        built anew.

        Raises:
            CheckpointRefused: the source is not what its digest says, the static
                check refuses it, or its rule cannot be built. Nothing was changed.
            ValueError: it was taken over other groups or parameters, or ones of
                other shapes or dtypes. Nothing was changed.
        """
        prepare(self, self.before_load(state_dict)).take_over()
        self.after_load()

    def before_load(self, state_dict: Any) -> Any:
        """What the hooks of loads make of a checkpoint on its way in."""
        if not isinstance(state_dict, Mapping):
            return state_dict  # whoever judges it will say so
        state_dict = dict(state_dict)
        for hook in self._optimizer_load_state_dict_pre_hooks.values():
            changed = hook(self, state_dict)
            state_dict = state_dict if changed is None else changed
        return state_dict

    def after_load(self) -> None:
        """A checkpoint was taken over: what was asked of the rule before is past."""
        self._look.taken_back()
        self._mode = None
        for hook_after in self._optimizer_load_state_dict_post_hooks.values():
            hook_after(self)

    def __getattr__(self, name: str) -> Any:
        if "base" not in self.__dict__:
            raise AttributeError(name)
        return reached(self, name, self._note_mode)

    def __setattr__(self, name: str, value: Any) -> None:
        own = self.__dict__
        if (
            name in own
            or name.startswith("_")
            or hasattr(type(self), name)
            or not own.get("_made")
            or not hasattr(self.base, name)
        ):
            super().__setattr__(name, value)
        else:
            setattr(self.base, name, value)

    def _note_mode(self, name: str) -> None:
        self._mode = name

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Take over `state` and `param_groups`, as torch's own loading does.

        Raises:
            TypeError: there is more in it, or no optimizer to take it over.
        """
        more = sorted(set(state) - {"state", "param_groups", "defaults"})
        if "base" not in self.__dict__ or more:
            raise TypeError(
                f"a DuxOptimizer was given {', '.join(more) or 'a state'} by "
                f"__setstate__; `state` and `param_groups` of one that was made by "
                f"attach were wanted; use load_state_dict."
            )
        if "param_groups" in state:
            self.param_groups = state["param_groups"]
        if "state" in state:
            self.state = state["state"]
