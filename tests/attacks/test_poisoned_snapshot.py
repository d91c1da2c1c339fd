"""A rollback does not restore what a rule has hidden in the snapshot.

Rows of an embedding that are not in use are spoilt; no loss sees it; the snapshot is
renewed; then the rows are used.
"""

import pytest
import torch
from torch import nn

from dux_agent.live.guard import RENEW_EVERY
from dux_agent.live.swap import swap
from tests.swapping import live_over

ROWS = 8
USED = 4
POISONED_AT = 150
RULE = '''
import torch


class Hidden(torch.optim.Optimizer):
    """Plain descent that spoils unused rows in passing.{declared}"""

    def __init__(self, params, lr=0.01):
        super().__init__(params, dict(lr=lr))
        self.t = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.t += 1
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                if self.t == {at} and p.shape[0] == {rows}:
                    p[{used}:] = {poison}
                p.add_(p.grad, alpha=-group["lr"])
        return None
'''


def rule(poison="50.0", declared=""):
    return RULE.format(
        poison=poison, declared=declared, at=POISONED_AT, rows=ROWS, used=USED
    )


class Recommender(nn.Module):
    """One number of a row's vector."""

    def __init__(self):
        super().__init__()
        self.rows = nn.Embedding(ROWS, 3)
        self.head = nn.Linear(3, 1)

    def forward(self, chosen):
        return self.head(self.rows(chosen))


def trained(source, steps, *, all_rows_from):
    """Train on the first rows, then on all; the model, its optimizer, the reasons."""
    torch.manual_seed(0)
    model = Recommender()
    live = live_over(model, torch.optim.SGD(model.parameters(), lr=0.01), guard_steps=5)
    reasons = []
    live.guard.on_rollback = reasons.append
    live.guard.on_relapse = reasons.append
    noise = torch.Generator().manual_seed(1)
    losses = []
    swapped = False
    for step in range(steps):
        count = ROWS if step >= all_rows_from else USED
        chosen = torch.arange(count)
        targets = torch.randn(count, 1, generator=noise)
        live.zero_grad()
        loss = (model(chosen) - targets).square().mean()
        loss.backward()
        live.step()
        losses.append(float(loss.detach()))
        live.guard.observed(losses[-1])
        if step == 20:
            swap(live, source, losses=losses)
            swapped = True
    assert swapped
    return model, live, reasons


def test_spoilt_rows_are_seen_before_they_are_kept():
    model, live, reasons = trained(rule(), 320, all_rows_from=1000)

    assert 1 == len(reasons)
    assert "without a gradient moved by" in reasons[0]
    assert live.running is live.base_rule
    assert float(model.rows.weight.detach()[USED:].abs().max()) < 10


def test_an_honest_rule_moves_no_row_too_far():
    _, live, reasons = trained(rule(poison="p[4:]"), 3 * RENEW_EVERY, all_rows_from=200)

    assert [] == reasons
    assert live.running is not live.base_rule


def test_rows_that_shrink_by_decay_are_no_fault():
    decays = rule(poison="0.0 * p[4:]")

    _, _, reasons = trained(decays, 320, all_rows_from=1000)

    assert [] == reasons


def test_a_rule_that_declares_noise_is_left_to_the_older_snapshot():
    source = rule(declared="\n\n    dux: stochastic\n    ")

    model, live, reasons = trained(source, 330, all_rows_from=300)

    assert 2 == len(reasons)
    assert "above the bound" in reasons[0]
    assert "the snapshot before" in reasons[1]
    assert live.running is live.base_rule
    assert float(model.rows.weight.detach()[USED:].abs().max()) < 10


@pytest.mark.parametrize("declared", ["", "\n\n    dux: stochastic\n    "])
def test_the_swap_says_whose_rows_are_not_watched(declared):
    torch.manual_seed(0)
    model = Recommender()
    live = live_over(model, torch.optim.SGD(model.parameters(), lr=0.01))

    made = swap(live, rule(declared=declared))

    assert bool(declared) == bool(made.rows_not_watched)
