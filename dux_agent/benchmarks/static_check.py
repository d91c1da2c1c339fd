"""How long the static check of a source of some 80 lines takes."""

import statistics
import time

from dux_agent.benchmarks.measurement import Measurement
from dux_graphs.offline.plan import Plan
from dux_graphs.offline.writing import write_source
from dux_sandbox.static_check import check

ROUNDS = 40
BAR = 10.0  # milliseconds


def measure(rounds: int = ROUNDS) -> Measurement:
    """Milliseconds of one check, the median.

    Args:
        rounds: checks that count; the first ones warm up and do not.
    """
    source = write_source(Plan("muon", 0.02, clip=1.0, weight_decay=0.1, average=20))
    times = []
    for turn in range(rounds + 3):
        # A line that differs: nothing is answered from memory.
        text = f"{source}# {turn}\n"
        began = time.perf_counter()
        report = check(text)
        times.append(time.perf_counter() - began)
        if not report.ok:
            raise AssertionError(f"the benchmark's own source is refused: {report}")
    lines = source.count("\n")
    return Measurement(
        name="the static check of one source",
        value=1e3 * statistics.median(times[3:]),
        bar=BAR,
        unit="ms",
        detail=f"{lines} lines; median of {rounds}",
    )
