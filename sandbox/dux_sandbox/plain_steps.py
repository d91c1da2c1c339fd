"""The steps that an optimizer class takes under plain torch, over its options.

To compare a class with a rewrite of it: both are run on the same problems, with the
same gradients, options and random numbers, and every weight is compared.
"""

import inspect
import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from dux_sandbox.closures import ClosurePlace, place_of_closure
from dux_sandbox.golden import PROBLEMS
from dux_sandbox.laws.keeping import surroundings_kept
from dux_sandbox.mending.signatures import ALL, AN_OPTIMIZER, FIRST, MATRICES, OTHERS
from dux_sandbox.runtime.text import plain

_STEPS = 6
_STEPS_OF_PROBLEMS = 20
_MOST_VARIANTS = 16
_SHAPES = ((3, 4), (4,), (2, 3, 2, 2), ())
# Options that are None or nought by default, and switch something on.
_SWITCHED_ON = {"foreach": True, "weight_decay": 0.01, "momentum": 0.9}
# What a closure does, tried in turn where no step is taken: it runs backward, keeps the
# graph for second derivatives, or leaves backward to a step that runs it by itself.
_WAYS = _, _GRAPH, _BARE = ("backward", "graph", "bare")
_NEVER = frozenset(["fused", "capturable", "differentiable"])


@dataclass(frozen=True)
class Wanted:
    """An argument that is made of the parameters: see `dux_sandbox.mending.signatures`.

    Attributes:
        what: which part of them, or the optimizer over them.
    """

    what: str


# Steps of one episode, each with every weight after it; then what was raised, or "".
Episode = tuple[list[list[float]], str]


def episodes(rule: type, given: Mapping[str, Any]) -> Iterator[tuple[str, Episode]]:
    """Every episode of a class, by a name that says the options and the problem.

    Global random numbers and modes are put back.

    Args:
        rule: the class.
        given: values for arguments that have no default.
    """
    with surroundings_kept():
        for options in _variants(rule, given):
            named = ", ".join(
                f"{name}={value}"
                for name, value in options.items()
                if name not in given
            )
            for shapes in (_SHAPES, _SHAPES[:1]):
                what = f"{len(shapes)} parameters" if len(shapes) > 1 else "a matrix"
                yield f"{what} {named}".strip(), _on_gradients(rule, options, shapes)
        for problem in PROBLEMS:
            for way in _WAYS:
                rows, raised = _on_problem(rule, dict(given), problem, way)
                if rows or not ("grad" in raised or "backward" in raised):
                    break
            yield f"the problem {problem}", (rows, raised)


def _variants(rule: type, given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The defaults, and each option that is a switch turned over by itself."""
    made: list[dict[str, Any]] = [dict(given)]
    try:
        parameters = inspect.signature(rule.__init__).parameters  # type: ignore[misc]
    except (TypeError, ValueError):
        return made
    for name, parameter in list(parameters.items())[2:]:
        value = parameter.default
        if name in _NEVER:
            continue
        if isinstance(value, bool):
            made.append({**given, name: not value})
        elif name in _SWITCHED_ON and (value is None or value == 0):
            made.append({**given, name: _SWITCHED_ON[name]})
        elif isinstance(value, float) and value == 0:
            made.append({**given, name: 0.1})
    if "nesterov" in parameters and "momentum" in parameters:
        made.append({**given, "nesterov": True, "momentum": 0.9, "dampening": 0.0})
        if "dampening" not in parameters:
            del made[-1]["dampening"]
    return made[:_MOST_VARIANTS]


def _seeded() -> torch.Generator:
    torch.manual_seed(0)
    random.seed(0)
    return torch.Generator().manual_seed(1)


def _on_gradients(
    rule: type, options: dict[str, Any], shapes: tuple[tuple[int, ...], ...]
) -> Episode:
    """Gradients that are drawn, one of them missing now and then, in two groups."""
    draw = _seeded()
    weights = [
        torch.nn.Parameter(torch.randn(shape, generator=draw)) for shape in shapes
    ]
    rows: list[list[float]] = []
    try:
        groups: Any = list(weights)
        if len(weights) > 1:
            groups = [{"params": weights[:2]}, {"params": weights[2:]}]
        optimizer = _built(rule, groups, weights, options)
        for step in range(_STEPS):
            for at, weight in enumerate(weights):
                gradient = torch.randn(weight.shape, generator=draw)
                missing = len(weights) > 1 and at == 1 and step % 3 == 1
                weight.grad = None if missing else gradient
            loss = torch.tensor(1.0 / (step + 1))
            _step(optimizer, lambda loss=loss: loss)
            rows.append(_values(weights))
    # Whatever a class raises is part of what it does.
    except Exception as error:
        return rows, _said(error)
    return rows, ""


def _on_problem(rule: type, options: dict[str, Any], problem: str, way: str) -> Episode:
    """One of the golden problems, with a closure that runs backward in one way."""
    _seeded()
    values, loss_of = PROBLEMS[problem]()
    weights = [torch.nn.Parameter(value) for value in values]
    rows: list[list[float]] = []
    try:
        optimizer = _built(rule, list(weights), weights, options)

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            with torch.enable_grad():
                loss = loss_of(*weights)
                if way != _BARE:
                    loss.backward(create_graph=way == _GRAPH)
            return loss

        for _ in range(_STEPS_OF_PROBLEMS):
            closure()
            _step(optimizer, closure)
            rows.append(_values(weights))
    # Whatever a class raises is part of what it does.
    except Exception as error:
        return rows, _said(error)
    return rows, ""


def _built(
    rule: type, groups: Any, weights: list[torch.nn.Parameter], options: dict[str, Any]
) -> Any:
    """An optimizer over these, given what its constructor wants of them."""
    parts = {
        MATRICES: [each for each in weights if each.ndim == 2],
        OTHERS: [each for each in weights if each.ndim != 2],
        ALL: weights,
    }
    given = dict(options)
    wanted = {name: value for name, value in given.items() if isinstance(value, Wanted)}
    if any(value.what == AN_OPTIMIZER for value in wanted.values()):
        inner = torch.optim.SGD(groups)
        groups = inner.param_groups  # the same: a schedule reaches both
        parts[AN_OPTIMIZER] = inner  # type: ignore[assignment]
    given.update({name: parts[value.what] for name, value in wanted.items()})
    if any(value.what in (MATRICES, ALL) for value in wanted.values()):
        return rule(**given)
    return rule(given.pop(FIRST, groups), **given)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(plain(error).split())}"[:120]


def _values(weights: list[torch.nn.Parameter]) -> list[float]:
    """Every weight, and whether it is trained."""
    flat = [weight.detach().flatten() for weight in weights]
    trained = [float(weight.requires_grad) for weight in weights]
    return [*trained, *(value for row in flat for value in row.tolist())]


def _step(optimizer: Any, closure: Any) -> None:
    place, _ = place_of_closure(type(optimizer))
    if place is ClosurePlace.NOWHERE:
        optimizer.step()
    elif place is ClosurePlace.KEYWORD:
        optimizer.step(closure=closure)
    else:
        optimizer.step(closure)


def parting(one: Mapping[str, Episode], other: Mapping[str, Episode]) -> str:
    """Where two runs part; "" where they are the same to the last bit."""
    for name, (rows, raised) in one.items():
        if name not in other:
            return f"{name}: only one of them has that option"
        others, other_raised = other[name]
        for step, (before, now) in enumerate(zip(rows, others, strict=False), 1):
            if not _same(before, now):
                return f"{name}: step {step} leads to other weights"
        if bool(raised) != bool(other_raised) or len(rows) != len(others):
            said = [each or "nothing" for each in (raised, other_raised)]
            return (
                f"{name}: after {min(len(rows), len(others))} steps one raises "
                f"{said[0]} and the other {said[1]}"
            )
    return "" if len(one) == len(other) else "they have other options"


def _same(before: list[float], now: list[float]) -> bool:
    return len(before) == len(now) and all(
        was == is_now or (math.isnan(was) and math.isnan(is_now))
        for was, is_now in zip(before, now, strict=True)
    )
