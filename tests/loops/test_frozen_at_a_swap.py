"""Weights that are frozen while a rule is swapped in, and thawed later."""

import pytest
import torch

from dux_agent import attach
from tests import models
from tests.loops.ends import assert_same, ends
from tests.swapping import ADAM
from tests.talking import scripted

CARRIES = ADAM.replace("    def __init__", "    carry = True\n\n    def __init__", 1)
STEPS, FROZEN_AT, SWAPPED_AT, THAWED_AT = 24, 6, (3, 9), 12


def trained(swapped_at, execution):
    """The weights at the end, where the rule was swapped in at these steps."""
    model = models.make("mlp")
    batches = models.batches()
    with attach(
        model,
        torch.optim.SGD(model.parameters(), lr=0.02),
        models.objective,
        lm=scripted(CARRIES),
        execution=execution,
        dry_run_steps=1,
        accept="finite",
    ) as agent:
        for step in range(STEPS):
            if step in (FROZEN_AT, THAWED_AT):
                model[2].requires_grad_(step == THAWED_AT)
            agent.step(batches[step % len(batches)])
            if step in swapped_at:
                assert "applied" == agent.decide().verdict
        return ends(model)


@pytest.mark.parametrize("execution", ["inline", "isolated", "recorded"])
def test_what_a_rule_knows_of_frozen_weights_is_carried_over(execution):
    # The second rule is the first one, which goes on where that has come to.
    expected = trained(SWAPPED_AT[:1], execution)

    found = trained(SWAPPED_AT, execution)

    assert_same(expected, found)
