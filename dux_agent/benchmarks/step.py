"""`dux bench step`: one step of a rule, wherever its code runs, beside torch's AdamW.

Each rule is stepped turn and turn about with `AdamW(fused=True)`, so that whatever else
the machine does falls on both; the fastest step of each counts, after six that do not.
A figure takes a few seconds, of steps of a large model as many as that holds. With one
thread it is that thread's time on a processor, so that waiting for one does not count;
with more, or where a rule runs in another process, it is time as it passes. On a CUDA
device ten steps in a row are one turn, and the device is waited for after them.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from dux_agent.benchmarks.step_torch import (
    FUSED,
    RULE_OF_TORCH,
    TORCH,
    forget_drawn,
    groups_of,
    step_of_torch,
)
from dux_sandbox.executions import EXECUTIONS
from dux_sandbox.findings import CannotRunSo, RuleFailed, SourceRejected
from dux_sandbox.limits import Limits

_LAYER = [(768, 2304), (768, 768), (768, 3072), (3072, 768), *[(768,)] * 6]
SIZES: Mapping[str, Sequence[tuple[int, ...]]] = {
    "94k": [(256, 300), (256,), (64, 256), (64,), (10, 64), (10,)],
    "25M": [(1024, 1024), (1024,)] * 24,
    "124M": [(50257, 768), (1024, 768), *_LAYER * 12, (768,), (768,)],
}
"""Shapes of parameters: a small network, layers of one width, a GPT-2."""
CAPTURED = "captured"
"""Of a recorded rule, its steps in CUDA graphs."""
_MEMORY_OF_GRAPHS = 1 << 34
_BYTES_OF_ADAMW = 28
"""What AdamW reads and writes for each float32 weight."""
_WARM_UP = 6
"""Steps that do not count; a rule may have another branch for its first five."""
_STEADY, _FASTER, _LEAST_SECONDS = 5, 0.99, 1.0
"""So many turns in a row in which no time fell below this part of the fastest one
before end a figure, once it has taken so long."""
_IN_A_ROW = 10
"""Steps on a device before it is waited for; a training waits for none."""
_CPU = torch.device("cpu")
_FAULTS = (SourceRejected, RuleFailed, CannotRunSo)


@dataclass(frozen=True)
class StepTime:
    """One figure.

    Attributes:
        rule: the name of its file, or of torch's own.
        size: one of `SIZES`.
        threads: of torch.
        kind: where its code ran, `CAPTURED`, one of `TORCH`, or "memory": what AdamW
            cannot beat.
        seconds: of the fastest step; None: there is none.
        against_fused: in units of the fastest step of `AdamW(fused=True)` beside it.
        note: why there is none.
        least: of a recorded rule, what reading and writing each of its tensors once
            takes at the pace of a plain addition, seconds.
    """

    rule: str
    size: str
    threads: int
    kind: str
    seconds: float | None
    against_fused: float | None
    note: str = ""
    least: float | None = None


def rule_files() -> list[Path]:
    """AdamW in several styles, then the harmless rules of the corpus.

    They come with the package, or lie in its repository.
    """
    shipped = Path(__file__).parent / "rules"
    corpus = Path(__file__).parents[2] / "tests" / "corpus"
    folder = shipped if shipped.is_dir() else corpus
    return [file for kind in ("adamw", "benign") for file in files_in(folder / kind)]


def files_in(folder: Path) -> list[Path]:
    """The sources of a folder, in the order of their names."""
    return sorted(folder.glob("*.py"))


def measure(
    rules: Mapping[str, str],
    sizes: Sequence[str] = tuple(SIZES),
    threads: int = 1,
    *,
    device: torch.device = _CPU,
    rounds: int = 200,
    seconds: float = 4.0,
    torch_kinds: Sequence[str] = tuple(TORCH),
    graphs: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[StepTime]:
    """Every figure, as it is there.

    Args:
        rules: sources by name.
        sizes: names of `SIZES`.
        threads: that torch has.
        device: where the weights are.
        rounds: the most steps of each that count.
        seconds: that the steps of one figure may take, and those before them, by the
            clock that times them: a busy machine takes as many; then there are fewer.
        graphs: whether recorded rules are also timed with their steps captured.
        say: told what is measured.
    """
    kinds = [*EXECUTIONS, *([CAPTURED] if graphs else [])]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for size in sizes:
            fused = step_of_torch(SIZES[size], FUSED, device)
            timed = partial(
                _timed, fused=fused, rounds=rounds, seconds=seconds, device=device
            )
            here = _clock(threads, device)
            timed_here = partial(timed, clock=here)
            for kind in torch_kinds:
                say(f"{RULE_OF_TORCH}, {kind}, {size}")
                step = (
                    fused if kind == FUSED else step_of_torch(SIZES[size], kind, device)
                )
                yield StepTime(RULE_OF_TORCH, size, threads, kind, *timed_here(step))
            weights = sum(map(math.prod, SIZES[size]))
            limit = _pace(weights, here, device) * weights * _BYTES_OF_ADAMW
            yield StepTime(RULE_OF_TORCH, size, threads, "memory", limit, None)
            for name, source in rules.items():
                for kind in kinds:
                    say(f"{name}, {kind}, {size}")
                    by = timed if kind == "isolated" else timed_here
                    yield _of_rule(name, source, kind, size, threads, device, by)
    finally:
        torch.set_num_threads(before)
        forget_drawn()


def _of_rule(
    name: str,
    source: str,
    kind: str,
    size: str,
    threads: int,
    device: torch.device,
    timed: Callable[[Callable[[], Any]], tuple[float, float]],
) -> StepTime:
    groups = groups_of(SIZES[size], device)
    expected = "recorded" if kind == CAPTURED else kind
    execution, memory = EXECUTIONS[expected], kind == CAPTURED and _MEMORY_OF_GRAPHS
    reason = execution.reason_against(groups[0]["params"])
    if reason is not None:
        return StepTime(name, size, threads, kind, None, None, reason)
    limits = Limits(step_seconds=120.0, seconds=1200.0, graph_memory=int(memory))
    try:
        rule = execution.build(source, groups, limits=limits, seed=0)
    except _FAULTS as error:
        return StepTime(name, size, threads, kind, None, None, _first(error))
    try:
        for group, options in zip(groups, rule.options, strict=True):
            group.update(options)
        rule.bind(groups)
        ran = getattr(rule, "mode", expected)
        if ran != expected:
            why = getattr(rule, "why", None)
            note = f"runs {ran}: {why.message if why is not None else ''}"
            return StepTime(name, size, threads, kind, None, None, note)
        loss = torch.ones((), device=device)
        step = partial(rule.step, (lambda: loss) if rule.requires_closure else None)
        taken, against = timed(step)
        captured, why = getattr(rule, "captured", (0, ()))
        if kind == CAPTURED and not captured:
            note = f"no step was captured: {'; '.join(why) or 'there is no device'}"
            return StepTime(name, size, threads, kind, None, None, note)
        weights = sum(map(math.prod, SIZES[size]))
        moved = getattr(rule, "least_bytes", None)
        pace = partial(_pace, weights, _clock(threads, device), device)
        least = None if moved is None else pace() * moved
        return StepTime(name, size, threads, kind, taken, against, least=least)
    except _FAULTS as error:
        return StepTime(name, size, threads, kind, None, None, _first(error))
    finally:
        rule.close()


def _first(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200]


def _clock(threads: int, device: torch.device) -> Callable[[], float]:
    alone = threads == 1 and device.type == "cpu"
    return time.thread_time if alone else time.perf_counter


def _timed(
    step: Callable[[], Any],
    fused: Callable[[], Any],
    rounds: int,
    seconds: float,
    device: torch.device,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[float, float]:
    """The fastest step, and what it is in units of the fastest fused one."""
    both, many = _turns((step, fused), device)
    began = clock()
    for _ in range(_WARM_UP):
        for take in both:
            take()
        if clock() - began > seconds:
            break
    began, steady = clock(), 0
    best = [math.inf, math.inf]
    for turn in range(rounds):
        before = list(best)
        for which in (0, 1) if turn % 2 else (1, 0):
            start = clock()
            both[which]()
            best[which] = min(best[which], clock() - start)
        faster = any(
            now < _FASTER * then for now, then in zip(best, before, strict=True)
        )
        steady = 0 if faster else steady + 1
        spent = clock() - began
        if spent > seconds or (spent > _LEAST_SECONDS and steady >= _STEADY):
            break
    return best[0] / many, best[0] / best[1]


def _turns(
    steps: Sequence[Callable[[], Any]], device: torch.device
) -> tuple[list[Callable[[], Any]], int]:
    """What is timed as one, of each of these, and how many steps that is."""
    if device.type != "cuda":
        return list(steps), 1

    def turn(step: Callable[[], Any]) -> None:
        for _ in range(_IN_A_ROW):
            step()
        torch.cuda.synchronize(device)

    return [partial(turn, each) for each in steps], _IN_A_ROW


def _pace(weights: int, clock: Callable[[], float], device: torch.device) -> float:
    """What reading or writing a byte takes in a plain addition, seconds.

    Of as many elements as there are weights: a cache that holds them counts.
    """
    one, other = torch.zeros(weights, device=device), torch.ones(weights, device=device)
    (take,), many = _turns([lambda: one.add_(other)], device)
    best = math.inf
    for _ in range(10):
        began = clock()
        take()
        best = min(best, clock() - began)
    return best / (12 * weights * many)
