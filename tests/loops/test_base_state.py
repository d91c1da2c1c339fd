"""What a checkpoint holds for the user's own optimizer is looked at before it is taken.

torch's fused kernels write as far as a parameter goes, however short its state is.
"""

from __future__ import annotations

import copy
import io

import pytest
import torch
from torch import nn

from dux_agent import attach
from dux_agent.live.optimizer import DuxOptimizer
from dux_agent.live.saved_checkpoint import CheckpointRefused
from tests import models
from tests.executions import both
from tests.sources import MOMENTUM
from tests.talking import scripted

OPTIONS = {
    "ASGD": [{}, {"capturable": False, "foreach": True}],
    "Adadelta": [{}, {"weight_decay": 0.1}],
    "Adafactor": [{}, {"lr": 0.1}],
    "Adagrad": [{}, {"fused": True}, {"initial_accumulator_value": 0.5}],
    "Adam": [{}, {"amsgrad": True}, {"fused": True}, {"foreach": True}],
    "AdamW": [{}, {"fused": True, "amsgrad": True}],
    "Adamax": [{}],
    "LBFGS": [{}, {"max_iter": 2, "line_search_fn": "strong_wolfe"}],
    "Muon": [{}],
    "NAdam": [{}, {"decoupled_weight_decay": True}],
    "RAdam": [{}],
    "RMSprop": [{}, {"centered": True, "momentum": 0.9}],
    "Rprop": [{}],
    "SGD": [{}, {"momentum": 0.9}, {"momentum": 0.9, "fused": True}],
    "SparseAdam": [{}],
}
HERE = {name: each for name, each in OPTIONS.items() if hasattr(torch.optim, name)}
CASES = [(name, each) for name, several in HERE.items() for each in several]


def parameters(name: str, dtype: torch.dtype = torch.float32) -> list[nn.Parameter]:
    torch.manual_seed(0)
    shapes = [(3, 4), (2, 2)] if name == "Muon" else [(3, 4), (4,), (), (2, 0)]
    if name in ("Adafactor", "LBFGS"):
        shapes = shapes[:2]
    return [nn.Parameter(torch.randn(shape, dtype=dtype)) for shape in shapes]


def live_over(held: list[nn.Parameter], name: str, options: dict[str, object]):
    return DuxOptimizer(getattr(torch.optim, name)(held, **options))


def steps(live: DuxOptimizer, held: list[nn.Parameter], count: int = 3) -> None:
    sparse = type(live.base).__name__ == "SparseAdam"

    def closure() -> torch.Tensor:
        for each in held:
            gradient = each.detach() + 0.5
            each.grad = gradient.to_sparse() if sparse else gradient
        return torch.stack([p.detach().square().sum().real for p in held]).sum()

    for _ in range(count):
        live.step(closure)


def through_a_file(state: object) -> dict[str, object]:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    loaded: dict[str, object] = torch.load(buffer, weights_only=True)
    return loaded


@pytest.mark.parametrize("taken", [0, 1, 3])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_an_honest_state_is_taken_and_goes_on_as_without_us(name, options, taken):
    held, twins = parameters(name), parameters(name)
    live = live_over(held, name, options)
    twin = getattr(torch.optim, name)(twins, **options)
    steps(live, held, taken)
    with torch.no_grad():
        for mine, other in zip(held, twins, strict=True):
            other.copy_(mine)
    state = through_a_file(live.state_dict())
    twin.load_state_dict(copy.deepcopy(live.base.state_dict()))

    live_over(held, name, options).load_state_dict(state)
    live.load_state_dict(state)
    steps(live, held, 2)
    steps(DuxOptimizer(twin), twins, 2)

    for mine, other in zip(held, twins, strict=True):
        assert torch.equal(mine, other)


def tampered(state: dict[str, object], name: str, value: object) -> dict[str, object]:
    changed = copy.deepcopy(state)
    changed["state"][0][name] = value
    return changed


ODD = {
    "one number": lambda like: torch.zeros(1),
    "shorter": lambda like: torch.zeros(like.numel() - 1),
    "longer": lambda like: torch.zeros(like.numel() + 9),
    "another order": lambda like: torch.zeros(like.shape[::-1]).unsqueeze(0),
    "text": lambda like: "text",
    "no data": lambda like: torch.zeros(like.shape, device="meta"),
}


def named_tensors(entry: dict[str, object]) -> list[str]:
    """Names of tensors of an entry that are as long as the parameter."""
    return [
        name
        for name, value in entry.items()
        if isinstance(value, torch.Tensor) and value.numel() > 1
    ]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize(("name", "options"), CASES)
def test_a_state_of_another_make_is_refused_and_changes_nothing(name, options, odd):
    held = parameters(name)
    live = live_over(held, name, options)
    steps(live, held)
    state = through_a_file(live.state_dict())
    before = repr(live.state_dict())
    for each in named_tensors(state["state"].get(0, {})):
        hostile = tampered(state, each, ODD[odd](state["state"][0][each]))

        with pytest.raises(CheckpointRefused, match=r"step|load its state"):
            live.load_state_dict(hostile)

        assert before == repr(live.state_dict())
    steps(live, held)


@pytest.mark.parametrize("odd", [None, 5, "text", [], torch.zeros(3)])
@pytest.mark.parametrize("name", [name for name in HERE if name != "LBFGS"])
def test_what_lacks_or_is_no_entry_is_refused(name, odd):
    held = parameters(name)
    live = live_over(held, name, {"momentum": 0.9} if name == "SGD" else {})
    steps(live, held)
    state = through_a_file(live.state_dict())
    whole = copy.deepcopy(state)
    whole["state"][0] = odd
    hostile = [whole]
    for each in state["state"][0]:
        if name not in ("SGD", "Muon", "Adafactor"):
            lacking = copy.deepcopy(state)
            del lacking["state"][0][each]
            hostile.append(lacking)

    for each in hostile:
        with pytest.raises((CheckpointRefused, ValueError)):
            live.load_state_dict(each)

    steps(live, held)


@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD", "Adagrad"])
def test_a_fused_state_has_memory_for_every_number(name):
    held = parameters(name)
    more = {"momentum": 0.9} if name == "SGD" else {}
    live = live_over(held, name, {"fused": True, **more})
    steps(live, held)
    state = live.state_dict()
    for each in named_tensors(state["state"][0]):
        hostile = tampered(state, each, torch.zeros(1).expand(3, 4))

        with pytest.raises(CheckpointRefused, match=each):
            live.load_state_dict(hostile)


class Factored(torch.optim.Adam):
    """Keeps what it likes under Adam's names, and steps by itself."""

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                state["step"] = torch.tensor(1.0)
                state.setdefault("exp_avg", torch.zeros(1)).add_(p.grad.mean())
                p.data.sub_(state["exp_avg"], alpha=group["lr"])


def test_what_an_optimizer_with_a_step_of_its_own_keeps_is_its_own_business():
    held = parameters("Adam")[:2]
    live = DuxOptimizer(Factored(held))
    for each in held:
        each.grad = torch.ones_like(each)
    live.step()

    live.load_state_dict(through_a_file(live.state_dict()))

    assert (1,) == live.state[held[0]]["exp_avg"].shape


def test_a_checkpoint_that_asks_such_a_one_for_fused_kernels_is_looked_at():
    held = parameters("Adam")[:2]
    live = DuxOptimizer(Factored(held))
    for each in held:
        each.grad = torch.ones_like(each)
    live.step()
    state = through_a_file(live.state_dict())
    state["param_groups"][0]["fused"] = True

    with pytest.raises(CheckpointRefused, match="exp_avg"):
        live.load_state_dict(state)


BEHIND = {
    "Adam fused": lambda held: torch.optim.Adam(held, lr=0.01, fused=True),
    "AdamW": lambda held: torch.optim.AdamW(held, lr=0.01),
    "SGD": lambda held: torch.optim.SGD(held, lr=0.01, momentum=0.9),
    "RMSprop": lambda held: torch.optim.RMSprop(held, lr=0.01, momentum=0.9),
}


@both
@pytest.mark.parametrize("name", BEHIND)
def test_the_state_behind_a_live_rule_is_looked_at_too(name, execution):
    model = models.make("mlp")
    made = BEHIND[name](model.parameters())
    options = {"lm": scripted(MOMENTUM), "execution": execution, "dry_run_steps": 2}
    with attach(model, made, models.objective, **options) as agent:
        for step in range(8):
            if step == 4:
                assert "applied" == agent.decide().verdict
            agent.step(models.batches()[step % 3])
        state = through_a_file(agent.state_dict())
        entry = state["guard"]["base"]["state"][0]
        for each in named_tensors(entry):
            hostile = copy.deepcopy(state)
            hostile["guard"]["base"]["state"][0][each] = torch.zeros(1)
            before = repr(agent.optimizer.state_dict())

            with pytest.raises(CheckpointRefused, match=each):
                agent.load_state_dict(hostile)

            assert before == repr(agent.optimizer.state_dict())
        agent.load_state_dict(state)
        agent.optimizer.guard.breach("to see the base optimizer again")
        agent.step(models.batches()[0])


def guarded(base):
    model = models.make("mlp")
    made = BEHIND[base](model.parameters())
    agent = attach(model, made, models.objective, lm=None, guard_steps=4)
    for step in range(6):
        agent.step(models.batches()[step % 3])
    return agent


@pytest.mark.parametrize("base", BEHIND)
def test_the_state_that_a_guarded_run_goes_back_to_is_looked_at_too(base):
    with guarded(base) as agent:
        run = agent.optimizer.guard._run
        run.pending = agent.optimizer.guard._take(run.steps, run.losses.judge.bound)
        state = through_a_file(agent.state_dict(snapshots="all"))
        entry = state["run_guard"]["pending"]["learned"][0]["state"][0][2]
        for each in named_tensors(entry):
            hostile = copy.deepcopy(state)
            learned = hostile["run_guard"]["pending"]["learned"][0]
            learned["state"][0][2][each] = torch.zeros(1)

            with pytest.raises(CheckpointRefused, match=each):
                agent.load_state_dict(hostile)

        agent.load_state_dict(state)
        agent.step(models.batches()[0])


@pytest.mark.parametrize(
    "name", ["step", "zero_grad", "state", "param_groups", "__class__", "defaults"]
)
def test_no_attribute_that_a_guarded_run_goes_back_to_hides_a_method(name):
    with guarded("AdamW") as agent:
        state = through_a_file(agent.state_dict())
        state["run_guard"]["good"]["learned"][0]["attributes"][name] = 5

        with pytest.raises(CheckpointRefused, match=name):
            agent.load_state_dict(state)

        agent.step(models.batches()[0])
