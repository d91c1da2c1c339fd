"""What a rule keeps in its groups beside numbers: no rate, and tensors of its own."""

from contextlib import closing

import pytest
import torch

from dux_sandbox import RuleFailed
from dux_sandbox.loading import load, restore_attributes
from dux_sandbox.process.isolated import IsolatedRule
from dux_sandbox.replaying.rule import RecordedRule
from dux_sandbox.running import InlineRule
from tests import models
from tests.executions import both
from tests.forked import outcome
from tests.rule_sources import rule, unguarded
from tests.sources import with_step
from tests.talking import agent_over, run

KINDS = {"inline": InlineRule, "isolated": IsolatedRule}
ADAFACTOR = """
import torch
class Rule(torch.optim.Optimizer):
    def __init__(self, params, lr=None, scale=0.01):
        super().__init__(params, dict(lr=lr, scale=scale, t=0))
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            group["t"] += 1
            rate = group["lr"]
            if rate is None:
                rate = group["scale"] / group["t"] ** 0.5
            for p in group["params"]:
                p.sub_(p.grad, alpha=rate)
"""
KEEPS = """
import torch
class Rule(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1):
        super().__init__(params, dict(lr=lr, start=None))
        self.first = True
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            if self.first:
                group["start"] = [p.clone() for p in group["params"]]
                group["sums"] = {"g": [torch.zeros_like(p) for p in group["params"]]}
                group["one"] = torch.zeros(1)
            group["one"] += 1
            for p, x, s in zip(group["params"], group["start"], group["sums"]["g"]):
                s.add_(p.grad)
                p.copy_(x - group["lr"] * s / group["one"].sqrt())
        self.first = False
"""
KEYED = """
import torch
class Rule(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1, reduce=torch.max):
        super().__init__(params, dict(lr=lr, reduce=reduce))
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            held = group.setdefault("held", {})
            for p in group["params"]:
                state = held.setdefault(p, {"t": 0, "m": torch.zeros_like(p)})
                state["t"] += 1
                state["m"].add_(p.grad / group["reduce"](p.grad.abs()))
                p.sub_(state["m"], alpha=group["lr"] / state["t"])
"""
SOURCES = {"no rate": ADAFACTOR, "tensors": KEEPS, "parameters as keys": KEYED}


def weights():
    return [torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(3))]


def push(optimizer, parameters, steps, start=0):
    """Steps on gradients that grow."""
    for step in range(start, start + steps):
        for parameter in parameters:
            parameter.grad = torch.full_like(parameter, float(step + 1))
        optimizer.step()


def expected(source, steps):
    """What plain torch makes of the weights."""
    parameters = weights()
    push(unguarded(source)(parameters), parameters, steps)
    return parameters


def live(execution, source, parameters):
    """A rule and the groups of a loop that it shares."""
    held = KINDS[execution].build(source, [{"params": parameters}])
    groups = [{"params": parameters, **held.options[0]}]
    held.bind(groups)
    return held, groups


@both
@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_it_takes_the_steps_of_plain_torch(source, execution):
    parameters = weights()

    held, _ = live(execution, source, parameters)
    try:
        push(held, parameters, 4)
    finally:
        held.close()

    assert all(map(torch.equal, expected(source, 4), parameters))


@both
@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_it_goes_on_from_what_was_saved(source, execution):
    parameters = weights()
    first, groups = live(execution, source, parameters)
    push(first, parameters, 2)
    learned, owned = first.snapshot(), first.owned
    first.close()

    second, _ = live(execution, source, parameters)
    second.bind(groups, owned)
    second.restore(learned)
    try:
        push(second, parameters, 2, start=2)
    finally:
        second.close()

    assert all(map(torch.equal, expected(source, 4), parameters))


@both
def test_a_rule_without_a_rate_leaves_the_loop_its_own(execution):
    model = models.make("mlp")
    with agent_over(model, ADAFACTOR, execution=execution) as agent:
        run(agent, 2)
        rate = agent.optimizer.param_groups[0]["lr"]
        assert "applied" == agent.decide().verdict
        scheduler = torch.optim.lr_scheduler.ExponentialLR(agent.optimizer, 0.5)
        run(agent, 2)
        scheduler.step()

        assert pytest.approx(0.5 * rate) == agent.optimizer.param_groups[0]["lr"]
        assert ["applied"] == [each.verdict for each in agent.decisions]


@both
@pytest.mark.parametrize(
    "source", [KEEPS, KEYED], ids=["tensors", "parameters as keys"]
)
def test_what_a_rule_keeps_in_its_groups_is_tried_and_saved(source, execution):
    model = models.make("mlp")
    with agent_over(model, source, execution=execution) as agent:
        run(agent, 2)
        assert "applied" == agent.decide().verdict
        run(agent, 3)
        saved = agent.optimizer.state_dict()
        agent.optimizer.load_state_dict(saved)
        run(agent, 2)

        assert ["applied"] == [each.verdict for each in agent.decisions]


def test_a_rate_that_is_no_number_stays_refused():
    source = rule("group['lr'] = None")
    parameters = weights()
    held = InlineRule.build(source, [{"params": parameters}])
    shared = [{"params": parameters, "lr": 0.1}]
    held.bind(shared)

    push(held, parameters, 1)

    assert shared[0]["lr"] is None  # for the trainer's judge of option values


def test_a_function_that_is_no_default_is_refused_in_a_group():
    source = KEYED.replace(
        "reduce=reduce))",
        "reduce=None))\n        self.param_groups[0]['reduce'] = torch.max",
    )

    with pytest.raises(RuleFailed, match="holds a"):
        InlineRule.build(source, [{"params": weights()}])


@both
def test_an_optimizer_of_torchs_may_be_held_by_the_state(execution):
    source = rule(
        "self.state['inner'].step()",
        methods="def __setstate__(self, state):\n    super().__setstate__(state)",
    ).replace("self.t = 0", "self.state['inner'] = torch.optim.SGD(self.param_groups)")
    parameters = weights()

    held, _ = live(execution, source, parameters)
    try:
        push(held, parameters, 3)
        held.snapshot()
    finally:
        held.close()

    twins = weights()
    push(torch.optim.SGD(twins, lr=0.1), twins, 3)
    assert all(map(torch.equal, twins, parameters))


@pytest.mark.parametrize(
    "groups",
    [
        1.0,
        [None, {"lr": [torch.ones(1)]}],
        [{"lr": [torch.ones(1)], "params": [torch.ones(1)]}],
        [{"scale": torch.ones(3), "t": [torch.ones(1)]}],
        [{5: [torch.ones(1)]}],
        {"dux": "parameter", "index": 0},
    ],
    ids=str,
)
def test_no_option_of_a_rule_is_replaced_by_what_was_saved(groups):
    rule_class = load(ADAFACTOR.replace("lr=None", "lr=0.1"))
    optimizer = rule_class(weights())
    before = dict(optimizer.param_groups[0])

    restore_attributes(optimizer, {"param_groups": groups})

    assert before == optimizer.param_groups[0]


def test_what_was_saved_is_malformed_in_words():
    optimizer = load(ADAFACTOR)(weights())
    place = {"dux": "parameter", "index": 99}

    with pytest.raises(ValueError, match="param_groups is malformed"):
        restore_attributes(optimizer, {"param_groups": [{"start": [place]}]})


MANY = with_step(
    """\
        group = self.param_groups[0]
        for at in range(600):
            group[f"a{self.t}_{at}"] = 1.0
"""
)


@pytest.mark.parametrize("kind", [IsolatedRule, RecordedRule])
def test_a_process_writes_so_many_options_and_no_more(kind):
    groups = [{"params": weights()}]
    with closing(kind.build(MANY, groups)) as made:
        groups[0].update(made.options[0])
        made.bind(groups)
        for each in groups[0]["params"]:
            each.grad = torch.ones_like(each)

        with pytest.raises(RuleFailed, match="options; at most 1000"):
            for _ in range(3):
                made.step()

    assert len(groups[0]) < 1000


@pytest.mark.parametrize("kind", [InlineRule, IsolatedRule, RecordedRule])
def test_a_rate_that_is_a_tensor_is_filled_with_the_next_one_by_a_schedule(kind):
    weight = torch.nn.Parameter(torch.zeros(3))
    weight.grad = torch.zeros(3)
    with closing(kind.build(with_step(""), [{"params": [weight]}])) as live:
        group = {"params": [weight], **live.options[0], "lr": torch.tensor(0.5)}
        live.bind([group])
        moved = []
        for step in range(6):
            group["lr"].fill_(0.5 / (1 + step // 2))
            before = weight.detach().clone()
            weight.grad = torch.ones(3)
            live.step()
            moved.append(float((before - weight.detach())[0]))
        assert pytest.approx([0.5, 0.5, 0.25, 0.25, 1 / 6, 1 / 6]) == moved


DEEP = {
    "a thousand deep": "x = 1\nfor _ in range(9999):\n    x = [x]",
    "in itself": "x = []\nx.append(x)",
    "shared by shares": "x = 1\nfor _ in range(60):\n    x = [x, x]",
    "a dict of dicts": "x = 1\nfor _ in range(9999):\n    x = {'a': x}",
    "wide": "x = [[[1] * 999] * 999] * 999",
}


@pytest.mark.parametrize("made", DEEP.values(), ids=DEEP)
def test_an_option_that_nobody_could_walk_through_is_the_rules_fault(made):
    def play():
        parameter = torch.nn.Parameter(torch.ones(2))
        groups = [{"params": [parameter]}]
        source = rule(f"{made}\ngroup['x'] = x\nraise ValueError('its own')")
        with closing(InlineRule.build(source, groups)) as built:
            groups[0].update(built.options[0])
            built.bind(groups)
            parameter.grad = torch.ones(2)
            with pytest.raises(RuleFailed, match="its own"):
                built.step()
        assert {"params", "lr"} == groups[0].keys()

    assert "returned" == outcome(play)
