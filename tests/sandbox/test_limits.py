"""The bounds that may be set on a rule."""

import math

import pytest

from dux_sandbox.limits import Limits


@pytest.mark.parametrize("name", ["seconds", "memory", "state", "closure_calls"])
@pytest.mark.parametrize("value", [0, -1.0, math.nan])
def test_a_limit_is_above_nothing(name, value):
    with pytest.raises(ValueError, match=f"{name}=.*above 0"):
        Limits(**{name: value})


@pytest.mark.parametrize("name", ["memory", "state"])
def test_what_is_set_aside_in_bytes_is_finite(name):
    with pytest.raises(ValueError, match=f"{name}=inf.*finite"):
        Limits(**{name: math.inf})
