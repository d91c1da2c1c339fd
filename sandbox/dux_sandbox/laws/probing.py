"""First looks at a rule: can it be built and stepped, and how does it want it?"""

from collections.abc import Callable
from typing import Any

import torch

from dux_sandbox.closures import place_of_closure
from dux_sandbox.laws.training import Facts
from dux_sandbox.runtime.context import Runaway
from dux_sandbox.runtime.text import plain


class CannotJudge(Exception):
    """The rule cannot be built at all; `.args[0]` says what happened."""


def probe(factory: Callable[[Any], Any], traits: frozenset[str]) -> tuple[Facts, Any]:
    """What is known of a rule, and an optimizer that was made for it.

    Raises:
        CannotJudge: the factory raises or returns no optimizer.
    """
    built, _ = _build(factory)
    options = {k: v for k, v in built.param_groups[0].items() if k != "params"}
    most_sides = 4 if _takes(factory, (1, 2, 1, 2)) else 2
    shown = frozenset[str]()
    if not _takes(factory, (2,)):
        shown = frozenset({"matrices-only"}) - traits
    if place_of_closure(type(built))[1]:
        shown |= frozenset({"needs-closure"}) - traits
    bare = _step(factory, by_closure=False)
    called = _step(factory, by_closure=True)
    by_closure = "needs-closure" in traits | shown or (
        bare is None and called is not None
    )
    idle = _idle_steps(factory, by_closure)
    facts = Facts(
        options=options,
        traits=traits | shown,
        shown=shown,
        most_sides=most_sides,
        by_closure=by_closure,
        line_search=called is not None and called[0] > 1,
        random=_reads_random_numbers(factory, by_closure),
        remembers=_remembers_weights(factory, by_closure),
        idle=idle,
        centres=_centres(factory, by_closure, idle),
        guarded=hasattr(type(built), "dux_source"),
        moves=any(
            any(_paces(factory, by_closure, each, _MOST_IDLE, torch.float64))
            for each in (_STEADY, _VARIED)
        ),
        still=_is_still(factory, by_closure, idle),
        tiny=_is_tiny(factory, by_closure, idle),
    )
    return facts, built


def _build(
    factory: Callable[[Any], Any], dtype: torch.dtype = torch.float32
) -> tuple[Any, torch.nn.Parameter]:
    weight = torch.nn.Parameter(torch.tensor([[0.5, -1.0], [2.0, 1.5]], dtype=dtype))
    try:
        built = factory([weight])
    # Generated code: whatever it raises is a finding.
    except (Exception, Runaway) as error:
        told = " ".join(plain(error).split())[:300]
        raise CannotJudge(
            f"the factory raised {type(error).__name__}: {told}"
        ) from None
    if not isinstance(built, torch.optim.Optimizer) or not getattr(
        built, "param_groups", None
    ):
        raise CannotJudge(
            f"the factory returned a {type(built).__name__}; a torch.optim.Optimizer "
            f"with parameter groups was wanted"
        )
    return built, weight


def _takes(factory: Callable[[Any], Any], shape: tuple[int, ...]) -> bool:
    """Whether the constructor does not refuse a parameter of this shape by name."""
    try:
        factory([torch.nn.Parameter(torch.ones(shape))])
    except ValueError:
        return False
    except (Exception, Runaway):  # generated code: the laws say what is wrong
        return True
    return True


def _step(
    factory: Callable[[Any], Any], *, by_closure: bool, seed: int = 0
) -> tuple[int, torch.Tensor] | None:
    """One step: how often the closure was called, and the values; None if it dies."""
    torch.manual_seed(seed)
    calls = 0
    try:
        built, weight = _build(factory)

        def closure() -> torch.Tensor:
            nonlocal calls
            calls += 1
            with torch.enable_grad():
                loss = (weight**2).sum()
                weight.grad = None
                loss.backward()
            return loss.detach()

        weight.grad = torch.tensor([[0.5, -0.7], [1.0, -1.5]])
        built.step(closure) if by_closure else built.step()
    except (Exception, Runaway):  # generated code: the laws say what is wrong
        return None
    return calls, weight.detach().clone()


def _remembers_weights(factory: Callable[[Any], Any], by_closure: bool) -> bool:
    """Whether its state holds the weights after a step that cannot have moved them."""
    try:
        built, weight = _build(factory)
        for group in built.param_groups:
            group["lr"] = 0.0
        weight.grad = torch.zeros_like(weight)
        built.step(lambda: (weight.detach() * 0).sum()) if by_closure else built.step()
        state = built.state.get(weight, {})
        return any(
            isinstance(held, torch.Tensor)
            and held.shape == weight.shape
            and torch.equal(held, weight)
            for held in state.values()
        )
    except (Exception, Runaway):  # generated code: the laws say what is wrong
        return False


_MOST_IDLE = 12  # steps
_Matrix = list[list[float]]
_STEADY: list[_Matrix] = [[[1.0, 1.5], [1.25, 1.75]]]
# Not in one proportion: a step that is a sign, or nearly one, must not hide a mean.
_VARIED: list[_Matrix] = [[[1.0, 1.5], [1.25, 2.75]], [[-0.3, 0.9], [0.7, -0.2]]]
_EVEN: dict[str, list[_Matrix]] = {
    "rows": [[[1.0, 1.0], [2.0, 2.0]], [[-0.5, -0.5], [0.25, 0.25]]],
    "columns": [[[1.0, 2.0], [1.0, 2.0]], [[-0.5, 0.25], [-0.5, 0.25]]],
    "all": [[[1.0, 1.0], [1.0, 1.0]], [[-0.5, -0.5], [-0.5, -0.5]]],
}
_TOLD_APART = 1e-5  # of a weight of about one, with room: float32 has 1.2e-7


def _paces(
    factory: Callable[[Any], Any],
    by_closure: bool,
    gradients: list[_Matrix],
    steps: int,
    dtype: torch.dtype = torch.float32,
) -> list[float]:
    """How far each of the first steps goes, without decay; gradients come in turn."""
    paces = []
    try:
        built, weight = _build(factory, dtype)
        for group in built.param_groups:
            if isinstance(group.get("weight_decay"), float):
                group["weight_decay"] = 0.0
        for step in range(steps):
            before = weight.detach().clone()
            weight.grad = torch.tensor(gradients[step % len(gradients)], dtype=dtype)
            if by_closure:
                built.step(lambda: (weight.detach() * weight.grad).sum())
            else:
                built.step()
            paces.append(float((weight.detach() - before).abs().max()))
    except (Exception, Runaway):  # generated code: the laws say what is wrong
        return []
    return paces


def _idle_steps(factory: Callable[[Any], Any], by_closure: bool) -> int:
    """How many steps go nowhere before the first that does; 0 where none does."""
    for gradients in (_STEADY, _VARIED):
        paces = _paces(factory, by_closure, gradients, _MOST_IDLE)
        if any(paces):
            return next(at for at, pace in enumerate(paces) if pace > 0)
    return 0


def _is_still(factory: Callable[[Any], Any], by_closure: bool, idle: int) -> bool:
    steps = idle + 3
    return not any(_paces(factory, by_closure, _STEADY, steps)) and any(
        _paces(factory, by_closure, _VARIED, steps)
    )


def _is_tiny(factory: Callable[[Any], Any], by_closure: bool, idle: int) -> bool:
    paces = _paces(factory, by_closure, _VARIED, idle + 3, torch.float64)
    return 0 < max(paces, default=0.0) < _TOLD_APART


def _centres(
    factory: Callable[[Any], Any], by_closure: bool, idle: int
) -> frozenset[str]:
    """Over what the rule takes the mean away: even gradients move nothing there."""
    steps = idle + 3
    if not any(_paces(factory, by_closure, _VARIED, steps)):
        return frozenset()
    # Means are rounded: what is left of an even gradient may not be quite nothing.
    return frozenset(
        kind
        for kind, even in _EVEN.items()
        if (paces := _paces(factory, by_closure, even, steps)) and not any(paces)
    )


def _reads_random_numbers(factory: Callable[[Any], Any], by_closure: bool) -> bool:
    """Whether two global seeds give two steps."""
    one, two = (_step(factory, by_closure=by_closure, seed=seed) for seed in (1, 2))
    if one is None or two is None:
        return False
    return not torch.equal(one[1], two[1])
