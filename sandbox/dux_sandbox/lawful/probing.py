"""First looks at a rule: can it be built and stepped, and how does it want it?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from dux_sandbox.lawful.training import Facts
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
    bare = _step(factory, by_closure=False)
    called = _step(factory, by_closure=True)
    by_closure = "needs-closure" in traits or (bare is None and called is not None)
    facts = Facts(
        options=options,
        traits=traits,
        by_closure=by_closure,
        line_search=called is not None and called[0] > 1,
        random=_reads_random_numbers(factory, by_closure),
        remembers=_remembers_weights(factory, by_closure),
    )
    return facts, built


def _build(factory: Callable[[Any], Any]) -> tuple[Any, torch.nn.Parameter]:
    weight = torch.nn.Parameter(torch.tensor([[0.5, -1.0], [2.0, 1.5]]))
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


def _reads_random_numbers(factory: Callable[[Any], Any], by_closure: bool) -> bool:
    """Whether two global seeds give two steps."""
    one, two = (_step(factory, by_closure=by_closure, seed=seed) for seed in (1, 2))
    if one is None or two is None:
        return False
    return not torch.equal(one[1], two[1])
