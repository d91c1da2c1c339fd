"""A swap changes what it says and nothing else; a failed one changes nothing."""

import pytest
import torch

from dux_agent.live.carry_over import match
from dux_agent.live.swap import swap
from dux_sandbox import SourceRejected
from dux_sandbox.findings import RuleFailed
from dux_sandbox.running import RuleState
from tests import models
from tests.swapping import ADAM, MOMENTUM, SGD, live_over, train

CARRIES = ADAM.replace("    def __init__", "    carry = True\n\n    def __init__", 1)


def adam(model):
    return torch.optim.Adam(model.parameters(), lr=0.01)


def test_a_rule_that_asks_for_it_keeps_the_state_that_fits():
    model = models.make("mlp")
    live = live_over(model, adam(model))
    train(live, model, 5)
    parameter = next(model.parameters())
    average = live.state[parameter]["exp_avg"].clone()
    weights = [p.detach().clone() for p in model.parameters()]
    gradients = [p.grad.clone() for p in model.parameters()]

    record = swap(live, CARRIES)

    # torch's own step count is a tensor, the rule's a number: it starts anew.
    assert {"exp_avg": 4, "exp_avg_sq": 4} == record.carry.carried
    assert {"step": 4} == record.carry.dropped
    assert torch.equal(average, live.state[parameter]["exp_avg"])
    assert all(map(torch.equal, weights, model.parameters()))
    assert all(map(torch.equal, gradients, [p.grad for p in model.parameters()]))
    train(live, model, 5)
    assert CARRIES == live.running.source


def test_a_rule_that_does_not_ask_starts_fresh_unless_told_otherwise():
    for carry, expected in (("asked", {}), ("never", {}), ("always", {"exp_avg": 4})):
        model = models.make("mlp")
        live = live_over(model, adam(model))
        train(live, model, 3)

        record = swap(live, ADAM, carry=carry)

        assert expected.items() <= record.carry.carried.items()
        assert bool(expected) == bool(live.state)


def test_attributes_of_a_rule_that_was_probed_stay_as_they_were_built():
    model = models.make("mlp")
    live = live_over(model, adam(model))
    train(live, model, 3)

    record = swap(live, MOMENTUM, carry="always")

    assert {} == record.carry.carried
    assert 0 == live.running.optimizer.t
    assert not live.state


def test_only_entries_of_the_same_name_shape_and_dtype_fit():
    old = RuleState({0: {"a": torch.ones(2), "b": torch.ones(3), "n": 7, "z": 1}}, {})
    new = RuleState({0: {"a": torch.zeros(2), "b": torch.zeros(2), "n": 0}}, {"t": 3})

    merged, record = match(old, new)

    assert {"a": 1, "n": 1} == record.carried
    assert {"b": 1, "z": 1} == record.dropped
    assert torch.equal(torch.ones(2), merged.state[0]["a"])
    assert torch.equal(torch.zeros(2), merged.state[0]["b"])
    assert {"t": 3} == merged.attributes


BUILDS_BADLY = {
    "it raises": SGD.replace("dict(lr=lr)", "dict(lr=lr / 0)"),
    "it writes and raises": SGD.replace(
        "        super().__init__(params, dict(lr=lr))\n",
        "        super().__init__(params, dict(lr=lr))\n"
        "        with torch.no_grad():\n"
        "            for p in self.param_groups[0]['params']:\n"
        "                p.add_(1.0)\n"
        "        self.t = 1 / 0\n",
    ),
    "it is refused": "import os\n" + SGD,
}


@pytest.mark.parametrize("why", list(BUILDS_BADLY))
def test_a_rule_that_cannot_be_built_leaves_everything_as_it_was(why):
    model = models.make("batch norm")
    live = live_over(model, adam(model))
    train(live, model, 3)
    before = [t.detach().clone() for t in [*model.parameters(), *model.buffers()]]
    group, random, rule = (
        dict(live.param_groups[0]),
        torch.get_rng_state(),
        live.running,
    )

    with pytest.raises((RuleFailed, SourceRejected)):
        swap(live, BUILDS_BADLY[why])

    assert all(map(torch.equal, before, [*model.parameters(), *model.buffers()]))
    assert group == live.param_groups[0]
    assert torch.equal(random, torch.get_rng_state())
    assert live.running is rule
    assert not live.guard.armed


def test_an_interrupted_swap_leaves_everything_as_it_was():
    model = models.make("mlp")
    live = live_over(model, torch.optim.SGD(model.parameters(), lr=0.02))
    scheduler = torch.optim.lr_scheduler.StepLR(live, 1, 0.5)
    swap(live, ADAM)
    train(live, model, 3, scheduler=scheduler)
    group, rule = dict(live.param_groups[0]), live.running
    weights = [p.detach().clone() for p in model.parameters()]
    built = []

    class Interrupted:
        """A rule during whose first step somebody presses Ctrl-C."""

        def __init__(self, rule):
            self.rule, self.closed = rule, False
            built.append(self)

        def __getattr__(self, name):
            return getattr(self.rule, name)

        def step(self, closure=None):
            raise KeyboardInterrupt

        def close(self):
            self.closed = True
            self.rule.close()

    build, live.build = live.build, lambda *given: Interrupted(build(*given))

    with pytest.raises(KeyboardInterrupt):
        swap(live, MOMENTUM, first_step=True)

    assert group == live.param_groups[0]
    assert live.running is rule
    assert [True] == [each.closed for each in built]
    assert all(map(torch.equal, weights, model.parameters()))
    train(live, model, 1, scheduler=scheduler)
    assert pytest.approx(0.5 * group["lr"]) == live.param_groups[0]["lr"]


def test_what_building_a_rule_wrote_into_the_weights_is_undone():
    model = models.make("mlp")
    live = live_over(model, adam(model))
    weights = [p.detach().clone() for p in model.parameters()]

    swap(live, BUILDS_BADLY["it writes and raises"].replace("1 / 0", "1"))

    assert all(map(torch.equal, weights, model.parameters()))


def test_the_record_tells_the_rates_before_and_after():
    model = models.make("mlp")
    live = live_over(model, torch.optim.SGD(model.parameters(), lr=0.3))

    record = swap(live, ADAM)

    assert ([0.3], [0.01]) == (record.learning_rates_before, record.learning_rates)
    assert live.running.digest == record.as_dict()["digest"]
