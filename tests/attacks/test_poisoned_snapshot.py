"""A rollback does not restore what a rule has hidden in the snapshot.

Rows of an embedding that are not in use are spoilt; no loss sees it; the snapshot is
renewed; then the rows are used.
"""

import io

import pytest
import torch
from torch import nn

from dux_agent.live.guard import RENEW_EVERY
from dux_agent.live.guard_state import pack_guard
from dux_agent.live.loading import prepare
from dux_agent.live.saved_checkpoint import CheckpointRefused
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


def watched(reasons):
    model = Recommender()
    live = live_over(model, torch.optim.SGD(model.parameters(), lr=0.01), guard_steps=5)
    live.guard.on_rollback = reasons.append
    live.guard.on_relapse = reasons.append
    return model, live


def resumed(model, live, reasons, kept):
    """The same run in another process, as a file has brought it there."""
    buffer = io.BytesIO()
    guard = pack_guard(live, kept)
    torch.save([model.state_dict(), live.state_dict(), guard], buffer)
    buffer.seek(0)
    weights, state, guard = torch.load(buffer, weights_only=True)
    model, live = watched(reasons)
    model.load_state_dict(weights)
    prepare(live, state, guard).take_over()
    return model, live


def trained(source, steps, *, all_rows_from, resumed_at=(), kept="all"):
    """Train on the first rows, then on all; the model, its optimizer, the reasons."""
    torch.manual_seed(0)
    reasons = []
    model, live = watched(reasons)
    noise = torch.Generator().manual_seed(1)
    losses = []
    swapped = False
    for step in range(steps):
        count = ROWS if step >= all_rows_from else USED
        chosen = torch.arange(count)
        targets = torch.randn(count, 1, generator=noise)
        if step in resumed_at:
            model, live = resumed(model, live, reasons, kept)
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


# Before the poison and after it; while the snapshot with it is new; before and after
# the rollback.
RESUMED_AT = [[60], [140], [175], [275], [285, 290], [301], [302], [60, 140, 200, 303]]


@pytest.mark.parametrize("resumed_at", RESUMED_AT, ids=str)
@pytest.mark.parametrize("declared", ["", "\n\n    dux: stochastic\n    "])
def test_a_resumed_run_sees_what_the_one_that_died_would_have_seen(
    declared, resumed_at
):
    source = rule(declared=declared)
    model, _, wanted = trained(source, 330, all_rows_from=300)

    again, _, reasons = trained(source, 330, all_rows_from=300, resumed_at=resumed_at)

    assert wanted == reasons
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("resumed_at", RESUMED_AT, ids=str)
@pytest.mark.parametrize("kept", [True, False])
def test_spoilt_rows_are_seen_from_the_checkpoint_on_with_less_kept(resumed_at, kept):
    model, live, reasons = trained(
        rule(), 560, all_rows_from=1000, resumed_at=resumed_at, kept=kept
    )

    if kept or max(resumed_at) < POISONED_AT + 20:
        assert 1 == len(reasons)
        assert "without a gradient moved by" in reasons[0]
        assert live.running is live.base_rule
        assert float(model.rows.weight.detach()[USED:].abs().max()) < 10


@pytest.mark.parametrize("resumed_at", [[140], [275]], ids=str)
def test_a_resumed_honest_rule_moves_no_row_too_far(resumed_at):
    honest = rule(poison="p[4:]")

    for kept in ("all", True, False):
        _, live, reasons = trained(
            honest, 400, all_rows_from=200, resumed_at=resumed_at, kept=kept
        )

        assert [] == reasons
        assert live.running is not live.base_rule


@pytest.mark.parametrize("odd", [5, "text", [], [None] * 9, [torch.zeros(2)] * 4])
@pytest.mark.parametrize("name", ["rows", "rows_to_pending", "older", "aftermath"])
def test_rows_and_snapshots_that_nobody_kept_are_refused(name, odd):
    torch.manual_seed(0)
    model, live = watched([])
    swap(live, rule())
    live.guard.step(None)
    guard = pack_guard(live)
    guard[name] = odd

    with pytest.raises(CheckpointRefused):
        prepare(live, live.state_dict(), guard)
