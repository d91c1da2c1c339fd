"""`dux bench evolve`: what a second worker saves, and what the driver keeps."""

import gc
import hashlib
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dux_agent.benchmarks.measurement import Measurement
from dux_agent.engines.processes import processes
from dux_agent.engines.workers import Answer, Job, Workers, silent
from dux_agent.evolving.evolve import Engine, evolve
from dux_agent.evolving.plan import EvolvePlan

WORKERS_BAR, MEMORY_BAR = 0.6, 2.0

_REPEATS = 3
# Evaluations of each arm. A worker takes 6 s to start, of searches that take minutes.
_BUDGET = 32
# At its beginning the driver fills memories of a bounded size: trees, constants.
_FIRST, _LAST = 300, 1000


def tell(say: Callable[[str], None]) -> bool:
    """Measure both, and say what came; whether both bars were kept."""
    found = []
    for measure in (two_workers, driver_memory):
        found.append(measure())
        say(str(found[-1]))
    return all(each.ok for each in found)


def two_workers() -> Measurement:
    """The time of one search with two workers over its time with one, turn about."""
    seconds = [[_seconds(count) for count in (1, 2)] for _ in range(_REPEATS)]
    ratios = sorted(two / one for one, two in seconds)
    one, two = map(min, zip(*seconds, strict=True))
    detail = (
        f"median of {_REPEATS}, {ratios[0]:.2f} to {ratios[-1]:.2f}; "
        f"{one:.1f} s with one, {two:.1f} s with two"
    )
    value = statistics.median(ratios)
    return Measurement("two workers beside one", value, WORKERS_BAR, "times", detail)


def driver_memory() -> Measurement:
    """What Python holds in the driver, by evaluations that cost nothing."""
    held: dict[int, int] = {}

    def say(line: str) -> None:
        words = line.split()
        if words[0] == "search:" and words[1].isdigit():
            gc.collect()
            held[int(words[1])] = tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        _searched(_plan(baselines=(), budget=_LAST), say, cheap)
    finally:
        tracemalloc.stop()
    first, last = min(n for n in held if n >= _FIRST), max(held)
    value = (held[last] - held[first]) / (last - first) / 1024
    detail = (
        f"{held[first] / 1024:,.0f} KiB after {first} evaluations, "
        f"{held[last] / 1024:,.0f} after {last}"
    )
    name = "memory of the driver for one evaluation more"
    return Measurement(name, value, MEMORY_BAR, "KiB", detail)


def _plan(**options: Any) -> EvolvePlan:
    held: dict[str, Any] = {
        "tasks": ("logistic", "deep-tanh"),
        "validation": ("badly-scaled",),
        "report": ("physics",),
        "start": ("sgd", "nesterov", "adam", "lion"),
        "baselines": ("adamw", "muon"),
        "budget": _BUDGET,
        "validation_seeds": 1,
        "report_seeds": 2,
    }
    return EvolvePlan(**(held | options))


def _seconds(workers: int) -> float:
    began = time.monotonic()
    _searched(_plan(workers=workers), silent)
    return time.monotonic() - began


def _searched(
    plan: EvolvePlan, say: Callable[[str], None], engine: Engine = processes
) -> None:
    with tempfile.TemporaryDirectory(prefix="dux-bench-") as folder:
        evolve(plan, Path(folder) / "search", say, engine=engine)


def cheap(count: int, **options: Any) -> Workers:
    """Workers that take no time: they make their answers up, from what is asked."""
    return Workers(_Cheap, count)


class _Cheap:
    """One that does nothing."""

    def ready(self, seconds: float) -> bool:
        return True

    def end(self) -> None:
        """Nothing was started."""

    def answer(self, job: Job, seconds: float) -> Answer:
        source = job["source"]
        drawn = _drawn(source)
        if "trainings" not in job:
            return {"fingerprint": drawn.hex(), "straightness": drawn[0] / 256}
        losses = [0.5 + _drawn(f"{source}{e}")[0] / 256 for e in job["trainings"]]
        cost = {"seconds": 0.0, "bytes": drawn[1] / 64, "steps": 1.0}
        return {"losses": losses, **cost}


def _drawn(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
