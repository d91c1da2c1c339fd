"""A stranger's kind of execution: the class as torch has it, with no guard about it."""

import copy

import torch

from dux_sandbox import check
from dux_sandbox.closures import ClosureUse
from dux_sandbox.findings import Finding, RuleFailed, SourceRejected, digest_of
from dux_sandbox.running_rule import RuleState, StepCost, parameters_of

OWN = {"state", "param_groups", "defaults"}
PLAIN = (bool, int, float, str, torch.Tensor, type(None))


def failed(error, where="step"):
    return RuleFailed(Finding(where, None, f"{type(error).__name__}: {error}"))


def class_in(source):
    report = check(source)
    if not report.ok:
        raise SourceRejected(report)
    names = {}
    exec(compile(source, "<a stranger's>", "exec"), names)
    kinds = [each for each in names.values() if isinstance(each, type)]
    return next(each for each in kinds if issubclass(each, torch.optim.Optimizer))


class BareRule:
    """Only what `RunningRule` names, and nothing of ours inherited."""

    runs_here = True
    carry = False
    takes_closure = True
    requires_closure = False

    def __init__(self, source, groups):
        self.source, self.digest = source, digest_of(source)
        self.closure_use = ClosureUse.UNKNOWN
        self.cost = StepCost()
        kind = class_in(source)
        try:
            self.torchs = kind([{"params": list(each["params"])} for each in groups])
        except Exception as error:
            raise failed(error, "init") from None
        self.defaults = dict(self.torchs.defaults)
        self.options = [
            {name: value for name, value in group.items() if name != "params"}
            for group in self.torchs.param_groups
        ]
        self.owned = [set(self.defaults) for _ in groups]
        self.groups = groups

    @property
    def parameters(self):
        return parameters_of(self.groups)

    def bind(self, param_groups, owned=None):
        self.groups = param_groups
        self.owned = self.owned if owned is None else owned

    def gradients_present(self):
        return [each.grad is not None for each in self.parameters]

    def state_by_parameter(self):
        return self.torchs.state

    def fetch(self):
        for mine, theirs, names in self.shared():
            mine.update({name: theirs[name] for name in names & set(theirs)})

    def hand_over(self):
        for mine, theirs, names in self.shared():
            theirs.update({name: mine[name] for name in names & set(mine)})

    def shared(self):
        return zip(self.torchs.param_groups, self.groups, self.owned, strict=True)

    def step(self, closure=None, *, seconds=None):
        self.fetch()
        raised = []

        def call():
            try:
                return closure()
            except BaseException as error:
                raised.append(error)
                raise

        try:
            return self.torchs.step(None if closure is None else call)
        except Exception as error:
            if error in raised:
                raise
            raise failed(error) from None
        finally:
            self.hand_over()

    def zero_grad(self, set_to_none=True):
        self.torchs.zero_grad(set_to_none)

    def snapshot(self):
        attributes = {
            name: copy.deepcopy(value)
            for name, value in vars(self.torchs).items()
            if name not in OWN and not name.startswith("_") and not callable(value)
        }
        for name, value in attributes.items():
            if not isinstance(value, PLAIN):
                raise failed(TypeError(f"{name} is not plain"), "state")
        places = enumerate(self.parameters)
        state = self.torchs.state
        kept = {at: copy.deepcopy(state[p]) for at, p in places if p in state}
        return RuleState(kept, attributes)

    def restore(self, state):
        self.torchs.state.clear()
        for at, entry in state.state.items():
            self.torchs.state[self.parameters[at]] = copy.deepcopy(entry)
        vars(self.torchs).update(copy.deepcopy(state.attributes))

    def rest(self):
        pass

    def close(self):
        pass


class Bare:
    name = "bare"

    def reason_against(self, parameters):
        return None

    def build(self, source, groups, *, limits, seed, predecessor=None):
        rule = BareRule(source, groups)
        if predecessor is not None:
            rule.restore(predecessor.snapshot())
            rule.bind(groups, predecessor.owned)
        return rule
