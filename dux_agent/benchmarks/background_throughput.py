"""How much slower a training is while a language model thinks in the background.

Two trainings with an agent run turn and turn about, so that whatever else the machine
does falls on both; the model of one of them thinks.
"""

import statistics
import time

from dux_agent.benchmarks.background import background_training, seconds_of_step
from dux_agent.benchmarks.measurement import Measurement

THINKS = 5.0  # seconds
ROUNDS = 3
BAR = 5.0  # percent


def measure(seconds: float = THINKS, rounds: int = ROUNDS) -> Measurement:
    """The throughput that is lost, in percent.

    Args:
        seconds: that the model thinks.
        rounds: how many decisions there are, beside one to warm up.
    """
    alone: list[float] = []
    beside: list[float] = []
    with (
        background_training(seconds) as (asked, task, batches),
        background_training(0.0) as (unasked, *_),
    ):
        pair = [(asked, beside), (unasked, alone)]
        for turn in range(rounds + 1):
            for agent, _ in pair:
                agent.step(next(batches))
            asked.decide()
            # The model answers after this: of the dry run the other figure tells.
            end = time.perf_counter() + 0.8 * seconds
            while time.perf_counter() < end:
                batch = next(batches)
                for agent, times in pair:
                    taken = seconds_of_step(agent, batch)
                    if turn:
                        times.append(taken)
                pair.reverse()
            unasked.decide()  # later: both have a rule of the same kind in each window
            for agent, _ in pair:
                while len(agent.decisions) <= turn:
                    agent.step(next(batches))
    without, during = statistics.median(alone), statistics.median(beside)
    slower = statistics.median(
        one / other for one, other in zip(beside, alone, strict=True)
    )
    return Measurement(
        name="a training while a model thinks in the background",
        value=100 * (1 - 1 / slower),
        bar=BAR,
        unit="%",
        detail=f"{task.name}; {len(beside)} steps in {rounds} rounds of a model that "
        f"thinks {seconds:g} s, {1e3 * during:.3f} ms against {1e3 * without:.3f} ms",
    )
