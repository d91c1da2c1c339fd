"""How much longer the dry runs of a decision take with four candidates.

Both are timed in one run, one decision of each in turn, so that the ratio is of one
machine in one mood.
"""

import statistics
import time
from collections.abc import Callable

import dux_agent
from dux_agent.agent import Agent
from dux_agent.benchmarks.measurement import Measurement
from dux_agent.benchmarks.workload import endless_batches, workload
from dux_graphs.funnel import tried
from dux_graphs.offline.plan import Plan
from dux_graphs.offline.writing import write_source
from dux_graphs.proposals import OptimizerBrief
from dux_graphs.search.successive_halving import SuccessiveHalving
from dux_graphs.state import CandidateState, Ports
from dux_sandbox.findings import DryRunReport, digest_of
from dux_sandbox.static_check import check

ROUNDS = 5
CANDIDATES = 4
BAR = 2.2  # times the dry runs of one candidate


def measure(rounds: int = ROUNDS, steps: int = 20) -> Measurement:
    """The median of the ratios of seconds in dry runs, four candidates to one.

    Args:
        rounds: pairs that count; the one before them warms up and does not.
        steps: training steps before each pair.
    """
    task = workload()
    ratios = []
    with dux_agent.attach(
        task.model, task.base_optimizer(), task.objective, lm="offline"
    ) as agent:
        batches = endless_batches(task)
        for _ in range(rounds + 1):
            for _ in range(steps):
                agent.step(next(batches))
            ratios.append(_seconds(agent, CANDIDATES) / _seconds(agent, 1))
    later = ratios[1:]
    return Measurement(
        name=f"dry runs of {CANDIDATES} candidates",
        value=statistics.median(later),
        bar=BAR,
        unit="times",
        detail=f"{task.name}; those of one candidate; {rounds} rounds, "
        f"{min(later):.2f} to {max(later):.2f}",
    )


def _seconds(agent: Agent, count: int) -> float:
    """Seconds of the dry runs of one try with so many candidates."""
    ports = Ports(
        write=lambda messages: "",
        check=check,
        dry_run=_dry_run(agent),
        apply=lambda source: True,
        strategy=SuccessiveHalving(OptimizerBrief(), count),
        dry_run_steps=agent.settings.dry_run_steps,
    )
    candidates = [_candidate(number) for number in range(1, count + 1)]
    began = time.perf_counter()
    reports = tried(ports, candidates, lambda candidate, told: None)
    seconds = time.perf_counter() - began
    if not any(report.ok for _, report in reports):
        raise AssertionError("the benchmark's own sources are refused")
    return seconds


def _dry_run(agent: Agent) -> Callable[..., DryRunReport]:
    """As a decision runs them: the incumbent once."""
    incumbent: list[tuple[float, ...]] = []

    def run(source: str, steps: int | None = None) -> DryRunReport:
        report = agent.training.dry_run(
            source,
            steps=agent.settings.dry_run_steps,
            seed=0,
            incumbent_losses=incumbent[0] if incumbent else None,
            proposal_steps=steps,
        )
        incumbent.append(report.incumbent_losses)
        return report

    return run


def _candidate(number: int) -> CandidateState:
    source = write_source(Plan("adamw", 0.001 * number))
    return {"number": [1, number], "source": source, "digest": digest_of(source)}
