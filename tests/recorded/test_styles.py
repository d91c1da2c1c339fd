"""Rules in many styles, recorded beside themselves."""

import pytest
import torch

from tests.recorded.styles import STYLES
from tests.recorded.test_recording import steps_beside


@pytest.mark.parametrize("name", STYLES)
def test_a_rule_of_another_style_is_recorded_as_it_is(name):
    replay, _, rule, pairs = steps_beside(STYLES[name])

    for one, other in pairs:
        assert torch.allclose(other, one, rtol=1e-6, atol=1e-7)
    numbers = {
        place[1]: value
        for place, value in replay.kept.values.items()
        if place[0] == "attribute"
    }
    assert rule.snapshot().attributes == numbers
