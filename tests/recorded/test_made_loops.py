"""Loops made by chance of what real ones do to a live rule: recorded all is the same.

`DUX_MADE_LOOPS=300 pytest tests/recorded/test_made_loops.py` makes so many of them,
from number `DUX_MADE_FROM=1000` on.
"""

import logging
import os
import sys
from contextlib import closing

import pytest
import torch

from dux_agent.live.swap import swap
from tests.recorded.loop_making import Training
from tests.recorded.rule_making import Making
from tests.recorded.test_made_rules import assert_alike
from tests.sources import MOMENTUM, SGD
from tests.swapping import ADAM

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs the jail")
_FIRST = int(os.environ.get("DUX_MADE_FROM", "0"))
_MANY = int(os.environ.get("DUX_MADE_LOOPS", "3"))
_STEPS, _SWAP = 20, 3
# A branch of a rule may hang on the last bit of a sum; beyond this all is otherwise.
_LARGE, _OFF = 1e4, 2e-5


def source_of(seed):
    # Recorded a gradient is laid as its weight, inline as the loop has laid it: a view
    # may be one there and none here.
    made = Making(seed).source().replace(".view(-1).flip", ".reshape(-1).flip")
    sources = [ADAM, MOMENTUM, SGD, made]
    return sources[seed % len(sources)]


def raised(training, *, quiet):
    try:
        training.step(quiet=quiet)
    # What the loop itself has done wrong comes out alike.
    except Exception as error:
        return type(error)
    return None


def plain(value):
    """A rate in a tensor as a number: a rule that writes it may leave either."""
    return value.item() if isinstance(value, torch.Tensor) else value


def options_of(training):
    return [
        {name: plain(each[name]) for name in sorted(each) if name != "params"}
        for each in training.live.param_groups
    ]


def compare(seed):
    """Train twice, recorded and inline, and look after each step.

    Returns:
        How many steps were the same; the rule was rolled back after these.
    """
    source = source_of(seed)
    with (
        closing(Training("recorded", seed)) as mine,
        closing(Training("inline", seed)) as other,
    ):
        for step in range(_STEPS):
            for each in (mine, other) if step == _SWAP else ():
                swap(each.live, source)
            wrong = [raised(each, quiet=step <= _SWAP) for each in (mine, other)]
            assert wrong[0] is wrong[1], mine.done
            bases = [it.live.running is it.live.base_rule for it in (mine, other)]
            largest = [
                each.detach().abs().max() for each in other.weights if each.numel()
            ]
            if not all(bool(each < _LARGE) for each in largest):
                return step
            assert bases[0] == bases[1], mine.done
            if step >= _SWAP and bases[0]:
                return step
            for one, its in zip(mine.weights, other.weights, strict=True):
                assert_alike(one.detach(), its.detach(), _OFF)
                assert_alike(one.grad, its.grad, _OFF)
                assert one.stride() == its.stride()
            assert_alike(options_of(mine), options_of(other), _OFF)
            found, wanted = mine.live.rule_state(), other.live.rule_state()
            assert_alike(found.state, wanted.state, _OFF)
    return _STEPS


@pytest.mark.parametrize("seed", range(_FIRST, _FIRST + _MANY))
def test_a_made_loop_trains_the_same_where_its_rule_is_recorded(seed):
    logging.getLogger("dux_sandbox").setLevel(logging.ERROR)
    compare(seed)


def test_most_made_loops_go_on_to_the_end():
    assert 2 <= sum(compare(seed) == _STEPS for seed in (100, 101, 102, 104))
