"""The bounds that may be set on a rule."""

import math

import pytest

from dux_sandbox.limits import Limits


@pytest.mark.parametrize("name", ["seconds", "memory", "state", "closure_calls"])
@pytest.mark.parametrize("value", [0, -1.0, math.nan, None, "4", True, [1]])
def test_a_limit_is_above_nothing(name, value):
    with pytest.raises(ValueError, match=f"{name}=.*a number above 0"):
        Limits(**{name: value})


@pytest.mark.parametrize("name", ["memory", "state"])
def test_what_is_set_aside_in_bytes_is_finite(name):
    with pytest.raises(ValueError, match=f"{name}=inf.*finite"):
        Limits(**{name: math.inf})


@pytest.mark.parametrize("value", [-1, math.inf, math.nan, None, "1G", True, 1j])
def test_memory_of_graphs_is_bytes_and_may_be_none(value):
    with pytest.raises(ValueError, match=r"graph_memory=.*0 or more"):
        Limits(graph_memory=value)

    assert 0 == Limits().graph_memory == Limits(graph_memory=0).graph_memory
