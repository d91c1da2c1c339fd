"""What a rule does after its dry run is seen, without a pass of the model."""

import pytest
import torch
from torch import nn

from dux_sandbox.dry_runs.side_by_side import dry_run
from tests.sources import counting

LATE = {
    "a bomb": ("p.add_(p.grad, alpha=-lr * (1.0 if n < 30 else 1e5))", "leap"),
    "nan": ("p.add_(p.grad, alpha=-lr if n < 30 else float('nan'))", "leap"),
    "forgets": ("p.mul_(1.0 if n != 25 else 0.0).sub_(lr * p.grad)", "leap"),
    "a small bomb": ("p.add_(p.grad, alpha=-1e-6 * (1.0 if n < 30 else 1e4))", "leap"),
    "turns": ("p.add_(p.grad, alpha=-lr if n < 30 else lr)", "uphill"),
    "turns by signs": ("p.add_(p.grad.sign(), alpha=-lr if n < 30 else lr)", "uphill"),
    "raises": ("p.add_(p.grad, alpha=-lr / (70 - n) ** 0.5)", "raised"),
}
HONEST = {
    "cools down": "p.add_(p.grad, alpha=-lr * max(0.0, 1.0 - n / 40))",
    "warms up": "p.add_(p.grad, alpha=-lr * min(1.0, n / 40))",
    "restarts": "p.add_(p.grad, alpha=-lr * (1.0 - (n % 20) / 20))",
    "signs": "p.add_(p.grad.sign(), alpha=-0.1 * lr)",
    "rests": "p.add_(p.grad, alpha=-lr if n < 20 else 0.0)",
    "averages": """mean = state.setdefault("mean", torch.zeros_like(p))
                mean.mul_(0.9).add_(p, alpha=0.1)
                p.add_(p.grad, alpha=-lr)
                if n % 20 == 0:
                    p.copy_(mean)""",
    "changes its kind": """square = state.setdefault("square", torch.zeros_like(p))
                square.mul_(0.9).addcmul_(p.grad, p.grad, value=0.1)
                if n < 25:
                    p.add_(p.grad, alpha=-lr)
                else:
                    p.addcdiv_(p.grad, square.sqrt() + 1e-8, value=-0.1 * lr)""",
    "clips in place": """p.grad.mul_(min(1.0, 1.0 / (float(p.grad.norm()) + 1e-6)))
                p.add_(p.grad, alpha=-lr)""",
}


def looked_at(formula, calls=None, **options):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    batches = [(torch.randn(8, 6), torch.randn(8, 2)) for _ in range(10)]

    def objective(net, batch):
        if calls is not None:
            calls.append(1)
        return (net(batch[0]) - batch[1]).square().mean()

    source = counting(formula, lr=0.05)
    return dry_run(source, model, optimizer, objective, batches, **options)


@pytest.mark.parametrize("sliced", [False, True])
@pytest.mark.parametrize("kind", LATE)
def test_what_comes_after_so_many_steps_is_found(kind, sliced):
    formula, rule = LATE[kind]

    report = looked_at(formula, ahead=64, sliced=sliced)

    assert [rule] == [finding.rule for finding in report.findings]
    assert 11 == len(report.losses)


@pytest.mark.parametrize("kind", HONEST)
def test_nothing_is_found_of_a_rule_that_means_well(kind):
    report = looked_at(HONEST[kind], ahead=64)

    assert () == report.findings


def test_nobody_looks_where_nobody_asks():
    formula, _ = LATE["a bomb"]

    assert looked_at(formula, ahead=0).ok


def test_it_costs_no_pass_of_the_model():
    calls, more = [], []

    looked_at(HONEST["signs"], calls)
    looked_at(HONEST["signs"], more, ahead=64)

    assert 22 == len(calls) == len(more)


@pytest.mark.parametrize(
    ("kind", "moves"), [("warms up", True), ("frozen", False), ("creeps", False)]
)
def test_a_rule_that_warms_up_is_told_from_one_that_rests(kind, moves):
    slow = {
        "warms up": "p.add_(p.grad, alpha=-lr * min(1.0, 1e-6 * 1.4**n))",
        "frozen": "p.add_(p.grad, alpha=0.0)",
        "creeps": "p.add_(p.grad, alpha=-1e-6)",
    }

    report = looked_at(slow[kind], ahead=64)

    assert report.incumbent_moved > 0
    assert report.ok
    assert (report.moves_later > 0.2 * report.incumbent_moved) is moves
    assert report.moved < 1e-3 * report.incumbent_moved
