"""The dry runs of a decision take no more base steps than they may, in all."""

import itertools

import pytest

from dux_graphs.decision import build_graph, decide
from dux_graphs.proposals import OptimizerBrief
from dux_graphs.search.best_dry_run import BestDryRun
from dux_graphs.search.successive_halving import SuccessiveHalving
from dux_graphs.state import Ports, PortsError
from dux_graphs.step_budget import StepBudget
from dux_sandbox.findings import CheckReport, DryRunReport, Finding, digest_of
from tests.graphs.test_decision import QUICK
from tests.observations import first

WHOLE = 10
FAULT = Finding("harm", None, "it rose", "less")
STRATEGIES = {"one by one": BestDryRun, "by halves": SuccessiveHalving}


class Tried:
    """Ports that count: what passes is said of short and of whole dry runs."""

    def __init__(self, *, short=True, whole=False):
        self.passes = {True: whole, False: short}
        self.steps, self.calls, self.incumbent = [], itertools.count(), 0

    def write(self, messages):
        return f"```python\na{next(self.calls)} = 1\n```"

    def dry_run(self, source, steps=WHOLE):
        self.incumbent = WHOLE
        self.steps.append(steps)
        losses = tuple(3.0 for _ in range(steps + 1))
        ok = self.passes[steps == WHOLE]
        return DryRunReport(
            ok, losses, (3.0,) * (WHOLE + 1), findings=(FAULT,) * (not ok)
        )

    def decide(self, strategy, most, tries=3):
        ports = Ports(
            self.write,
            lambda source: CheckReport(True, digest_of(source)),
            self.dry_run,
            lambda source: None,
            strategy=strategy,
            dry_run_steps=WHOLE,
            decision_steps=most,
            max_attempts=tries,
        )
        return decide(build_graph(retry=QUICK), first(), ports, "t")

    @property
    def taken(self):
        return self.incumbent + sum(self.steps)


@pytest.mark.parametrize("most", [20, 29, 35, 60, 200])
@pytest.mark.parametrize("candidates", [1, 2, 5])
@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("short", [True, False])
def test_no_decision_takes_more_steps_than_it_may(name, candidates, most, short):
    strategy, tried = STRATEGIES[name](OptimizerBrief(), candidates), Tried(short=short)

    out = tried.decide(strategy, most)

    assert "kept" == out["verdict"]
    assert 0 < tried.taken <= most
    # Of one that others left behind, and that was tried as a whole when those failed,
    # every shorter run counts.
    assert tried.taken <= StepBudget(most, WHOLE, strategy).taken(out["attempts"])
    if len(tried.steps) < 3 * candidates:
        assert "decision_steps" in out["reason"] or "refused in all 3" in out["reason"]


@pytest.mark.parametrize("name", STRATEGIES)
def test_where_there_is_room_for_one_alone_one_is_asked_for(name):
    strategy, tried = STRATEGIES[name](OptimizerBrief(), 4), Tried(whole=True)

    out = tried.decide(strategy, 2 * WHOLE)

    assert ("applied", 1) == (out["verdict"], next(tried.calls))


def test_a_limit_that_is_not_reached_changes_nothing():
    runs = []
    for most in (None, 1000):
        tried = Tried()
        out = tried.decide(SuccessiveHalving(OptimizerBrief(), 4), most)
        runs.append((out["reason"], sorted(tried.steps)))

    assert runs[0] == runs[1]


def test_a_limit_is_refused_where_nobody_knows_what_a_dry_run_takes():
    with pytest.raises(PortsError, match="dry_run_steps"):
        Ports(len, len, len, len, decision_steps=40)
