"""What a rule keeps is plain: it comes back as it was, or the rule is refused."""

from __future__ import annotations

import io
import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dux_sandbox import dry_run
from dux_sandbox.findings import RuleFailed
from dux_sandbox.process.isolated import IsolatedRule
from dux_sandbox.running import InlineRule
from tests import models
from tests.talking import agent_over, run

RULE = """
from collections import defaultdict, deque, OrderedDict
import math
import torch


class Keeper(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01):
        super().__init__(params, dict(lr=lr))
        self.taken = 0

    @torch.no_grad()
    def step(self, closure=None):
        loss = closure() if closure is not None else None
        self.taken += 1
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                p.add_(p.grad, alpha=-group["lr"])
                {KEEP}
        return loss
"""


def keeping(*lines, since=1):
    body = f"\n{' ' * 16}".join(
        [f"if self.taken >= {since}:", *(f"    {line}" for line in lines)]
    )
    return RULE.replace("{KEEP}", body)


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**250), 2**250)
    | st.floats(allow_nan=False)
    | st.text("ab'\\\n\ud800é", max_size=4)
)
shapes = st.lists(st.integers(0, 3), max_size=3)


def literal(value):
    """As the source of a rule says it."""
    if isinstance(value, float) and math.isinf(value):
        return f"float('{value}')"
    return ascii(value)


texts = scalars.map(literal)
tensors = st.one_of(
    st.builds(
        "torch.full({}, {}, dtype=torch.{})".format,
        shapes,
        st.integers(0, 1),
        st.sampled_from(
            "float32 float64 float16 bfloat16 int64 int32 int16 int8 uint8 bool "
            "complex64 complex128".split()
        ),
    ),
    st.sampled_from(
        [
            "p.detach().clone()",
            "p",
            "p.grad",
            "p.grad.t() if p.dim() == 2 else p.grad",
            "p.reshape(-1)[::2]",
            "torch.tensor(1.5)",
            "torch.full([2], 1j).conj()",
            "torch.full([2], 1j).conj().imag",
        ]
    ),
)
keys = scalars.map(literal) | st.builds("({}, {},)".format, texts, texts)
values = st.recursive(
    texts | tensors | shapes.map("torch.zeros({}).shape".format),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda held: f"[{', '.join(held)}]"),
        st.lists(inner, max_size=3).map(
            lambda held: f"({', '.join(held)}{',' * bool(held)})"
        ),
        st.lists(keys, max_size=3).map(lambda held: f"set([{', '.join(held)}])"),
        st.lists(st.tuples(keys, inner), max_size=3).map(
            lambda held: "{" + ", ".join(f"{k}: {v}" for k, v in held) + "}"
        ),
    ),
    max_leaves=8,
)


def same(one, other):
    """Equal in value and type; tensors to the bit."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        one, other = one.detach(), other.detach()
        return (
            one.dtype is other.dtype
            and one.shape == other.shape
            and bool(torch.equal(one, other) or (one != one).any())
        )
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        factories = [getattr(each, "default_factory", None) for each in (one, other)]
        return (
            factories[0] is factories[1]
            and list(one) == list(other)
            and all(same(one[key], other[key]) for key in one)
        )
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def over_the_wire(value):
    held = io.BytesIO()
    torch.save(value, held)
    held.seek(0)
    return torch.load(held, weights_only=True)


def applied(source, **options):
    agent = agent_over(models.make("mlp"), source, dry_run_steps=2, **options)
    run(agent, 3)
    agent.decide()
    return agent


def parameters(seed=0):
    torch.manual_seed(seed)
    made = [torch.nn.Parameter(torch.randn(3, 2)), torch.nn.Parameter(torch.randn(2))]
    for each in made:
        each.grad = torch.randn_like(each)
    return made


@settings(max_examples=60, deadline=None)
@given(st.lists(values, min_size=1, max_size=4))
def test_what_may_be_kept_comes_back_through_a_saved_file(texts):
    lines = [f"state['k{at}'] = {text}" for at, text in enumerate(texts)]
    lines += ["self.state['all'] = {'k': (1, p.shape)}"]
    source = keeping(*lines)
    held = parameters()
    rule = InlineRule.build(source, [{"params": held}])
    rule.bind(rule.optimizer.param_groups)
    try:
        rule.step()
    except RuleFailed as failed:
        assume("nested deeper" not in str(failed))
        raise
    kept = rule.snapshot()

    back = over_the_wire(kept.state)
    again = InlineRule.build(source, [{"params": parameters()}])
    again.restore(kept)

    for index, entry in kept.state.items():
        live = rule.optimizer.state[held[index]]
        assert all(same(live[name], entry[name]) for name in live), texts
        assert same(entry, back[index]), texts
    assert same(rule.optimizer.state["all"], again.optimizer.state["all"])
    assert same(kept.state, again.snapshot().state)


ALL = [
    "OrderedDict([('b', 1), ('a', p.shape)])",
    "defaultdict(list, {'a': [torch.ones(2)]})",
    "defaultdict(None, {'a': {3: defaultdict(int)}})",
    "None",
    "True",
    "2**200",
    "float('-inf')",
    "'a\\ud800'",
    "[1, (3.5, {'x': None})]",
    "set([1, 'a', (1, 2)])",
    "{1: 2, 'a': 3, (1, 2): 4, None: 5, 0.5: 6}",
    "p.shape",
    "[p.shape, torch.zeros(2, 0).shape]",
    "torch.tensor(3)",
    "torch.full([2], 1j).conj()",
    "torch.full([2], 1j).conj().imag",
    "p.grad.t() if p.dim() == 2 else p.grad",
    "p.reshape(-1)[::2]",
    "torch.zeros(2, 0)",
    "p",
    "torch.ones(3, dtype=torch.bfloat16)",
]


def test_both_ways_of_running_a_rule_keep_the_same():
    source = keeping(
        *(f"state['k{at}'] = {text}" for at, text in enumerate(ALL)),
        *(f"self.state['k{at}'] = {{'x': {text}}}" for at, text in enumerate(ALL)),
        *(f"self.k{at} = {text}" for at, text in enumerate(ALL)),
    )
    inline = InlineRule.build(source, [{"params": parameters()}])
    inline.step()
    held = parameters()
    isolated = IsolatedRule.build(source, [{"params": held}])
    try:
        isolated.bind([{"params": held, "lr": 0.01}])
        isolated.step()
        isolated.require_saveable()
        kept = isolated.snapshot()
        isolated.restore(kept)
        again = isolated.snapshot()
    finally:
        isolated.close()

    assert same(inline.snapshot().state, kept.state)
    assert same(inline.snapshot().attributes, kept.attributes)
    assert same(kept.state, again.state)
    assert same(kept.attributes, again.attributes)


ODD = {
    "a lambda's defaultdict": "defaultdict(lambda: 0)",
    "a defaultdict of a function": "defaultdict(torch.Generator)",
    "a deque": "deque([1])",
    "a frozen set": "frozenset([1])",
    "a range": "range(3)",
    "a function": "math.sqrt",
    "a class": "int",
    "an iterator": "iter([1])",
    "a device": "p.device",
    "a generator": "torch.Generator()",
    "a meta tensor": "torch.empty(3, device='meta')",
    "an expanded tensor": "torch.zeros(1).expand(1000)",
    "a sparse tensor": "torch.eye(3).to_sparse()",
    "a tensor as key": "{torch.zeros(1): 1}",
    "tensors in a set": "set([torch.zeros(1)])",
    "a wide number": "(2**200)**30",
    "a list in itself": "endless",
    "a deep list": "[[[[[[[[[[1]]]]]]]]]]",
    "lists that share": "shared",
    "an inner one": "[{'x': (1, defaultdict(lambda: 0))}]",
}
BEFORE = [
    "endless = []",
    "endless.append(endless)",
    "shared = [1]",
    "for _ in range(7):",
    "    shared = [shared] * 1000",
]
PLACES = ["state['x'] = {}", "self.state['x'] = {{'y': {}}}", "self.state[p] = {}"]


@pytest.mark.parametrize("name", ODD)
def test_what_cannot_be_kept_is_refused_while_it_is_tried(name):
    """Or it cannot even be written: there is no other way."""
    for place in PLACES:
        source = keeping(*BEFORE, place.format(ODD[name]))
        model = models.make("mlp")

        report = dry_run(
            source,
            model,
            torch.optim.SGD(model.parameters(), lr=0.1),
            models.objective,
            models.batches(),
            steps=2,
        )

        assert not report.ok, (place, name)
        assert report.findings[0].instead


@pytest.mark.parametrize("execution", ["inline", "isolated"])
@pytest.mark.parametrize(
    "name", ["a meta tensor", "a lambda's defaultdict", "a list in itself"]
)
def test_a_rule_that_keeps_it_later_is_rolled_back_and_never_ends_a_run(
    name, execution
):
    source = keeping(*BEFORE, f"state['x'] = {ODD[name]}", since=5)
    with applied(source, execution=execution) as agent:
        [decision] = agent.decisions
        assert "applied" == decision.verdict
        run(agent, 8)

        state = over_the_wire(agent.state_dict())

        assert "rolled_back" == decision.verdict
        assert "state" in decision.reason
        agent.load_state_dict(state)
        run(agent, 2)


@pytest.mark.parametrize("execution", ["inline", "isolated"])
def test_an_agent_goes_on_from_a_saved_file_as_if_it_had_never_stopped(execution):
    source = keeping(
        *(f"state['k{at}'] = {text}" for at, text in enumerate(ALL)),
        "state.setdefault('m', torch.zeros(p.shape)).mul_(0.9).add_(p.grad)",
        "self.state.setdefault('all', {'t': 0})['t'] += 1",
        "p.add_(state['m'], alpha=-0.01 / self.state['all']['t'])",
        "state.setdefault('lost', defaultdict(list))['new'].append(1)",
    )
    with applied(source, execution=execution) as agent:
        run(agent, 4)
        weights = over_the_wire(agent.model.state_dict())
        state = over_the_wire(agent.state_dict())
        expected = run(agent, 5)
    with agent_over(models.make("mlp"), execution=execution) as again:
        again.model.load_state_dict(weights)

        again.load_state_dict(state)
        losses = run(again, 5)

    assert "applied" == again.decisions[0].verdict
    assert expected == losses
