"""Helpers that call something `step` or `state`, as torch's Optimizer does."""

import pytest

from dux_sandbox.static_check import check
from tests.executions import both
from tests.language.test_given_groups import rule, stepped

_PLAIN = "params, lr=0.5\nsuper().__init__(params, dict(lr=lr))\n"
COUNTER = """
class Counter:
    defaults = (2.0,)

    def __init__(self):
        self.step, self.state = 0, {}

    def count(self, key, value):
        self.step += 1
        self.state[key] = self.state.get(key, 0.0) + value
        return self.state[key]

    def begin(self):
        self.step = 0

"""
RECORD = """
from dataclasses import dataclass, field


@dataclass
class Counter:
    step: int = 0
    state: dict = field(default_factory=dict)

    def count(self, key, value):
        self.step += 1
        self.state[key] = self.state.get(key, 0.0) + value
        return self.state[key]

"""


@both
@pytest.mark.parametrize("before", [COUNTER, RECORD])
def test_a_helper_has_names_of_torchs_optimizer(before, execution):
    source = rule(
        _PLAIN + "self.counter = Counter()",
        each='p.sub_(self.counter.count("a", 2.0) * p.grad, alpha=group["lr"])',
        before=before,
    )

    assert () == check(source).findings
    assert [[pytest.approx(-1.0)]] == stepped(source, execution, [[(2, 2)]])


@both
def test_a_rule_counts_in_its_helper(execution):
    source = rule(
        _PLAIN + "self.counter = Counter()\nself.counter.step += 1",
        each="p.sub_(self.counter.step * p.grad)",
        before=COUNTER,
    )

    assert [[pytest.approx(-1.0)]] == stepped(source, execution, [[(2, 2)]])


@pytest.mark.parametrize(
    ("before", "init"),
    [
        ("", "self.step = 0"),
        (COUNTER, "self.step = 0"),
        (COUNTER, "self.defaults = {}"),
        (COUNTER.replace("self.step,", "self.profile_hook_step,"), ""),
        (COUNTER + "class More(Counter):\n    pass\n\n", ""),
        (COUNTER.replace("Counter:", "Counter(torch.optim.SGD):"), ""),
    ],
)
def test_what_may_become_an_optimizer_has_none_of_them(before, init):
    source = rule(_PLAIN + init, before=before)

    assert "belongs to torch's Optimizer" in check(source).findings[0].message


@both
@pytest.mark.parametrize(
    ("init", "told"),
    [
        (
            "self.inner = torch.optim.SGD(self.param_groups, lr=lr)\n"
            "self.inner.step = Counter",
            "SGD.step is not available",
        ),
        ("Counter.begin(self)", "step belongs to torch's Optimizer"),
        (
            "Base = Counter\n\nclass More(Base, torch.optim.SGD):\n    pass\n\n"
            "More(params, lr=lr)",
            "defines defaults; choose another name",
        ),
    ],
)
def test_a_running_rule_is_stopped_where_the_text_tells_nothing(init, told, execution):
    source = rule(_PLAIN + init, before=COUNTER)

    assert () == check(source).findings
    with pytest.raises(Exception, match=told):
        stepped(source, execution, [[(2, 2)]])
