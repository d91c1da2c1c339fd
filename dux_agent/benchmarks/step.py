"""`dux bench step`: one step of a rule, wherever its code runs, beside torch's AdamW.

Each rule is stepped turn and turn about with `AdamW(fused=True)`, so that whatever else
the machine does falls on both; the fastest step of each counts. With one thread it is
that thread's time on a processor, so that waiting for one does not count; with more, or
where a rule runs in another process, it is time as it passes.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

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
TORCH: Mapping[str, Mapping[str, Any]] = {
    "for-loop": {"foreach": False, "fused": False},
    "foreach": {"foreach": True},
    "fused": {"fused": True},
    "compile": {"foreach": True},
}
FUSED, RULE_OF_TORCH = "fused", "torch.optim.AdamW"
_BYTES_OF_ADAMW = 28
"""What AdamW reads and writes for each float32 weight."""
_WARM_UP = 3
_FAULTS = (SourceRejected, RuleFailed, CannotRunSo)


@dataclass(frozen=True)
class StepTime:
    """One figure.

    Attributes:
        rule: the name of its file, or of torch's own.
        size: one of `SIZES`.
        threads: of torch.
        kind: where its code ran, one of `TORCH`, or "memory": what AdamW cannot beat.
        seconds: of the fastest step; None: there is none.
        against_fused: in units of the fastest step of `AdamW(fused=True)` beside it.
        note: why there is none.
    """

    rule: str
    size: str
    threads: int
    kind: str
    seconds: float | None
    against_fused: float | None
    note: str = ""


def rules_folder() -> Path:
    """The harmless rules of the corpus: with the package, or in its repository."""
    shipped = Path(__file__).parent / "rules"
    if shipped.is_dir():
        return shipped
    return Path(__file__).parents[2] / "tests" / "corpus" / "benign"


def measure(
    rules: Mapping[str, str],
    sizes: Sequence[str] = tuple(SIZES),
    threads: int = 1,
    *,
    rounds: int = 15,
    seconds: float = 20.0,
    torch_kinds: Sequence[str] = tuple(TORCH),
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[StepTime]:
    """Every figure, as it is there.

    Args:
        rules: sources by name.
        sizes: names of `SIZES`.
        threads: that torch has.
        rounds: the most steps of each that count.
        seconds: that one figure may take; then fewer steps count.
        say: told what is measured.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for size in sizes:
            fused = _of_torch(SIZES[size], FUSED)
            timed = partial(_timed, fused=fused, rounds=rounds, seconds=seconds)
            here = time.thread_time if threads == 1 else time.perf_counter
            timed_here = partial(timed, clock=here)
            for kind in torch_kinds:
                say(f"{RULE_OF_TORCH}, {kind}, {size}")
                step = fused if kind == FUSED else _of_torch(SIZES[size], kind)
                yield StepTime(RULE_OF_TORCH, size, threads, kind, *timed_here(step))
            limit = _memory_limit(sum(map(math.prod, SIZES[size])), here)
            yield StepTime(RULE_OF_TORCH, size, threads, "memory", limit, None)
            for name, source in rules.items():
                for kind in EXECUTIONS:
                    say(f"{name}, {kind}, {size}")
                    by = timed if kind == "isolated" else timed_here
                    yield _of_rule(name, source, kind, size, threads, by)
    finally:
        torch.set_num_threads(before)


def _of_rule(
    name: str,
    source: str,
    kind: str,
    size: str,
    threads: int,
    timed: Callable[[Callable[[], Any]], tuple[float, float]],
) -> StepTime:
    groups = _groups(SIZES[size])
    limits = Limits(step_seconds=120.0, seconds=1200.0)
    try:
        rule = EXECUTIONS[kind].build(source, groups, limits=limits, seed=0)
    except _FAULTS as error:
        return StepTime(name, size, threads, kind, None, None, _first(error))
    try:
        for group, options in zip(groups, rule.options, strict=True):
            group.update(options)
        rule.bind(groups)
        ran = getattr(rule, "mode", kind)
        if ran != kind:
            why = getattr(rule, "why", None)
            note = f"runs {ran}: {why.message if why is not None else ''}"
            return StepTime(name, size, threads, kind, None, None, note)
        loss = torch.ones(())
        step = partial(rule.step, (lambda: loss) if rule.requires_closure else None)
        for _ in range(_WARM_UP):
            step()
        return StepTime(name, size, threads, kind, *timed(step))
    except _FAULTS as error:
        return StepTime(name, size, threads, kind, None, None, _first(error))
    finally:
        rule.close()


def _first(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200]


def _groups(shapes: Sequence[tuple[int, ...]]) -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(0)
    parameters = []
    for shape in shapes:
        parameter = torch.nn.Parameter(torch.randn(shape, generator=generator) / 30)
        parameter.grad = torch.randn(shape, generator=generator) / 100
        parameters.append(parameter)
    return [{"params": parameters}]


def _of_torch(shapes: Sequence[tuple[int, ...]], kind: str) -> Callable[[], Any]:
    optimizer = torch.optim.AdamW(_groups(shapes), lr=1e-4, **TORCH[kind])
    if kind != "compile":
        return optimizer.step
    step: Callable[[], Any] = torch.compile(optimizer.step)
    return step


def _timed(
    step: Callable[[], Any],
    fused: Callable[[], Any],
    rounds: int,
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[float, float]:
    """The fastest step, and what it is in units of the fastest fused one."""
    for _ in range(_WARM_UP):
        step()
        fused()
    ends = time.perf_counter() + seconds
    best = [math.inf, math.inf]
    for turn in range(rounds):
        for which in (0, 1) if turn % 2 else (1, 0):
            began = clock()
            (step, fused)[which]()
            best[which] = min(best[which], clock() - began)
        if time.perf_counter() > ends:
            break
    return best[0], best[0] / best[1]


def _memory_limit(weights: int, clock: Callable[[], float]) -> float:
    """What AdamW's reading and writing takes at the pace of a plain addition, seconds.

    Of as many elements as there are weights: a cache that holds them counts.
    """
    one, other = torch.zeros(weights), torch.ones(weights)
    best = math.inf
    for _ in range(10):
        began = clock()
        one.add_(other)
        best = min(best, clock() - began)
    return best / 12 * _BYTES_OF_ADAMW
