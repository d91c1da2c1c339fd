"""How long it takes until a fresh jailed child has locked itself in and answers."""

import statistics
import time

from dux_agent.benchmarks.measurement import Measurement
from dux_agent.benchmarks.two_steps import ADAMW, groups_of
from dux_sandbox.limits import Limits
from dux_sandbox.process.isolated import IsolatedRule

ROUNDS = 20
BAR = 60.0  # milliseconds


def measure(rounds: int = ROUNDS) -> Measurement:
    """Milliseconds from the fork to a rule that is built, the median.

    Args:
        rounds: children that count; the first starts the warm process too.
    """
    groups = groups_of(10_000, 4)
    times = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        rule = IsolatedRule.build(ADAMW, groups, limits=Limits())
        times.append(time.perf_counter() - began)
        rule.close()
    return Measurement(
        name="a fresh jailed child",
        value=1e3 * statistics.median(times[1:]),
        bar=BAR,
        unit="ms",
        detail=f"forked, locked, rule built; median of {rounds}, "
        f"the first with the warm process {times[0]:.1f} s",
    )
