"""Rules made by chance of what real ones are made of: recorded they do the same.

`DUX_MADE_RULES=300 pytest tests/recorded/test_made_rules.py` makes so many of them,
from number `DUX_MADE_FROM=1000` on.
"""

import copy
import os
import random
from types import SimpleNamespace

import pytest
import torch

from dux_sandbox.recorded.tape import Unrecordable
from dux_sandbox.running import InlineRule
from dux_sandbox.runtime.attributes import RANDOM
from dux_sandbox.static_check import judge
from tests.recorded.recording import replay_of, twin_of
from tests.recorded.rule_making import Making
from tests.recorded.test_recording import parameters_in

_FIRST = int(os.environ.get("DUX_MADE_FROM", "0"))
_MANY = int(os.environ.get("DUX_MADE_RULES", "6"))
_STEPS = 20
_SHAPES = [[(4, 3), (5,), (2, 3), (1,), ()], [(3, 4), (2,), (2, 2), (6,), (1, 1)]]
_DTYPES = [*[torch.float32] * 3, torch.float64, torch.bfloat16]
_CHANGES = [
    (0, {"flag": True}),
    (1, {"mode": "other"}),
    (0, {"betas": (0.5, 0.9)}),
    (0, {"betas": (0, 1)}),
    (1, {"power": 0.5, "lr": 1}),
    (1, {"wd": 1}),
]
# Beyond these it is another rule: a branch may hang on the last bit of a sum.
_OFF = {torch.float64: 1e-9, torch.float32: 1e-5, torch.bfloat16: 2e-2}


def training(seed):
    """What happens in one training beside the rule, step by step."""
    chance = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)
    shapes, dtype = chance.choice(_SHAPES), chance.choice(_DTYPES)
    weights = [
        torch.nn.Parameter((torch.randn(each, generator=generator) * 0.5).to(dtype))
        for each in shapes
    ]
    gaps = {(chance.randrange(_STEPS), chance.randrange(5)) for _ in range(6)}
    return SimpleNamespace(
        groups=[{"params": weights[:3]}, {"params": weights[3:]}],
        off=_OFF[dtype],
        gaps=gaps if chance.random() < 0.5 else (),
        change=(chance.randrange(4, 12), *chance.choice(_CHANGES)),
        decays=chance.random() < 0.5,
        asks=chance.random() < 0.5,
        odd=(chance.randrange(5, 60), chance.choice([torch.nan, torch.inf, 0.0])),
        generator=generator,
    )


def prepare(step, there, both):
    """Give gradients and options of this step to the groups of both."""
    for at, pair in enumerate(zip(*map(parameters_in, both), strict=True)):
        scale = 3.0 if step % 5 == 3 else 0.1
        drawn = torch.randn(pair[0].shape, generator=there.generator) * scale
        drawn = drawn * there.odd[1] if step == there.odd[0] and at == 1 else drawn
        for each in pair:
            missing = (step, at) in there.gaps
            each.grad = None if missing else drawn.to(each.dtype, copy=True)
    when, index, options = there.change
    for groups in both:
        for group in groups if there.decays else ():
            group["lr"] = 0.01 / (1 + step // 5)
        if step == when:
            groups[index].update(options)


def raised(step):
    try:
        step()
    # What a rule raises where it is recorded, here, has no wall round it.
    except Exception as error:
        return error
    return None


def assert_alike(one, other, off):
    """As much of two trees as there is: tensors, numbers, and the rest."""
    if isinstance(other, torch.Tensor):
        most = other.double().nan_to_num(0, 0, 0).abs().max() if other.numel() else 0
        torch.testing.assert_close(
            one, other, rtol=off, atol=off * float(most), equal_nan=True
        )
    elif isinstance(other, dict):
        assert list(one) == list(other)
        for key in other:
            assert_alike(one[key], other[key], off)
    elif isinstance(other, (list, tuple)):
        assert len(one) == len(other)
        for each, its in zip(one, other, strict=True):
            assert_alike(each, its, off)
    else:
        assert type(one) is type(other)
        if type(other) in (int, float):
            other = pytest.approx(other, rel=off, abs=off, nan_ok=True)
        assert one == other


def compare(seed):
    """Take the same steps recorded and inline.

    Returns:
        How many steps were the same; the rule raises, or is refused, after these.
    """
    source, there = Making(seed).source(), training(seed)
    assert judge(source).report.ok
    groups, others = there.groups, twin_of(there.groups)
    rule = InlineRule.build(source, others)
    replay, _ = replay_of(source, groups)
    for group, options in zip(others, rule.options, strict=True):
        group.update(copy.deepcopy(options))
    rule.bind(others)
    replay.places.options = copy.deepcopy(rule.options)
    mine = replay.places.options
    for step in range(_STEPS):
        held = [
            {"params": each["params"]} | options
            for each, options in zip(groups, mine, strict=True)
        ]
        prepare(step, there, (held, others))
        mine = [{n: v for n, v in each.items() if n != "params"} for each in held]
        replay.places.options = mine
        loss = torch.tensor(max(0.2, 2.0 - step * 0.1) + 0.05 * ((step * 7) % 5))
        closure = (lambda loss=loss: loss.clone()) if there.asks else None
        wrong = raised(lambda closure=closure: rule.step(closure))
        kind = "float32" if there.asks else None
        try:
            mine_wrong = raised(lambda kind=kind, loss=loss: replay.step(kind, loss))
        except Unrecordable:
            return step
        if mine_wrong is not None:
            return step  # it goes on isolated, and raises there or not
        assert wrong is None
        mine = replay.places.options
        for one, other in zip(*map(parameters_in, (groups, others)), strict=True):
            assert_alike(one.detach(), other.detach(), there.off)
            assert_alike(one.grad, other.grad, there.off)
        found, wanted = replay.kept.state(), rule.snapshot()
        attributes = {n: v for n, v in found.attributes.items() if n != RANDOM}
        assert_alike(found.state, wanted.state, there.off)
        assert_alike(attributes, wanted.attributes, there.off)
        wanted = [{n: v for n, v in x.items() if n != "params"} for x in others]
        assert_alike(mine, wanted, there.off)
    return _STEPS


@pytest.mark.parametrize("seed", range(_FIRST, _FIRST + _MANY))
def test_a_made_rule_does_the_same_when_it_is_recorded(seed):
    compare(seed)


def test_most_made_rules_are_recorded():
    assert 2 <= sum(compare(seed) == _STEPS for seed in [500, 501, 502, 2049])
