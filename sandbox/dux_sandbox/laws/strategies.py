"""Hypothesis strategies for parameters, gradients and whole trainings.

They need the extra `fuzz`, and they shrink: to fewer parameters, to smaller shapes,
to fewer steps, to zeros and ones.
"""

from collections.abc import Callable
from functools import cache
from itertools import product
from typing import Any

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from dux_sandbox.laws.cases import (
    DTYPES,
    GRADIENTS,
    LAYOUTS,
    VALUES,
    Case,
    Options,
    Parameter,
    Shape,
)
from dux_sandbox.laws.episodes import Episode
from dux_sandbox.laws.header import Header
from dux_sandbox.laws.keeping import surroundings_kept
from dux_sandbox.laws.law import Drawn
from dux_sandbox.laws.probing import probe
from dux_sandbox.laws.training import Training

# Small ones first: hypothesis shrinks towards the front of a list. One draw from a
# long list is also much cheaper than many draws from short ones.
_SHAPES: dict[str, tuple[Shape, ...]] = {
    "matrix": ((1, 1), (2, 2), (2, 3), (3, 1), (1, 3), (3, 2)),
    "vectors": ((1,), (2,), (3,), (5,), (2, 2), (2, 3), (3, 1), (3, 2)),
    "ordinary": (
        *((), (1,), (2,), (3,), (5,), (1, 1), (2, 2), (2, 3), (3, 1), (1, 3), (3, 2)),
        *((1, 2, 2), (2, 1, 2), (2, 2, 1), (1, 1, 2, 2), (2, 2, 1, 2), (2, 1, 3, 1)),
    ),
}
_SHAPES["any"] = (
    *_SHAPES["ordinary"],
    *((0,), (0, 2), (3, 0), (0, 0), (2, 0, 2), (1, 2, 0, 1)),
)


def shapes(kind: str = "any") -> st.SearchStrategy[Shape]:
    """Shapes of parameters: few elements, many forms.

    Args:
        kind: "any" (0-d to 4-d, a side may be 0), "ordinary" (without sides of 0),
            "vectors" (1-d and 2-d) or "matrix" (2-d).
    """
    return st.sampled_from(_SHAPES[kind])


@cache
def parameters(
    *,
    kind: str = "any",
    dtypes: tuple[str, ...] = DTYPES,
    layouts: tuple[str, ...] = LAYOUTS,
    values: tuple[str, ...] = VALUES,
    gradient_layouts: tuple[str, ...] = LAYOUTS[:1],
) -> st.SearchStrategy[Parameter]:
    """One parameter; add "float16" to `dtypes` to have that as well."""
    forms = product(gradient_layouts, layouts, dtypes, values, _SHAPES[kind])
    return st.sampled_from(
        [
            Parameter(shape, dtype, value, layout, gradient_layout)
            for gradient_layout, layout, dtype, value, shape in forms
        ]
    )


@cache
def gradient_rows(
    count: int, kinds: tuple[str, ...] = GRADIENTS
) -> st.SearchStrategy[tuple[str, ...]]:
    """The kinds of gradient that `count` parameters have in one step."""
    return st.sampled_from(list(product(kinds, repeat=count)))


def gradient_sequences(
    count: int,
    *,
    kinds: tuple[str, ...] = GRADIENTS,
    least: int = 1,
    most: int = 4,
) -> st.SearchStrategy[tuple[tuple[str, ...], ...]]:
    """For each step, the kind of gradient of each of `count` parameters."""
    rows = gradient_rows(count, kinds)
    return st.lists(rows, min_size=least, max_size=most).map(tuple)


@cache
def group_options(*, decaying: bool = True) -> st.SearchStrategy[Options]:
    """Options of a group; a rule is given those of them that it has."""
    plain: list[Options] = [(("lr", lr),) for lr in (0.1, 0.05)]
    decayed: list[Options] = [(*each, ("weight_decay", 0.1)) for each in plain]
    return st.sampled_from(plain + decayed * decaying)


@st.composite
def cases(draw: st.DrawFn, drawn: Drawn | None = None) -> Case:
    """Whole cases: parameters, their groups, their gradients.

    Args:
        draw: hypothesis's own.
        drawn: bounds on what is drawn; None: all there is.
    """
    drawn = drawn or Drawn(
        shapes="any",
        dtypes=DTYPES,
        gradients=GRADIENTS,
        layouts=LAYOUTS,
        gradient_layouts=LAYOUTS,
        values=VALUES,
        groups=3,
    )
    one = parameters(
        kind=drawn.shapes,
        dtypes=drawn.dtypes,
        layouts=drawn.layouts,
        gradient_layouts=drawn.gradient_layouts,
        values=drawn.values,
    )
    size, length = draw(_sizes(drawn.parameters, drawn.steps))
    held = tuple(draw(one) for _ in range(size))
    rows = gradient_rows(size, drawn.gradients)
    gradients = tuple(draw(rows) for _ in range(length))
    count = draw(st.integers(1, min(drawn.groups, size))) if drawn.groups > 1 else 1
    groups = tuple(sorted(at % count for at in range(size)))
    options = tuple(draw(group_options(decaying=drawn.decaying)) for _ in range(count))
    variant = draw(_variants(drawn.variants, drawn.moves))
    return Case(held, gradients, groups, options, variant)


@cache
def _sizes(
    parameters: tuple[int, int], steps: tuple[int, int]
) -> st.SearchStrategy[tuple[int, int]]:
    """How many parameters and steps, in one draw."""
    counts = (range(least, most + 1) for least, most in (parameters, steps))
    return st.sampled_from(list(product(*counts)))


@cache
def _variants(variants: tuple[str, ...], moves: int) -> st.SearchStrategy[str]:
    one = st.sampled_from(variants)
    return st.lists(one, min_size=1, max_size=moves).map(" ".join) if moves else one


def parameter_sets(
    *, dtypes: tuple[str, ...] = DTYPES, most: int = 3
) -> st.SearchStrategy[list[Any]]:
    """Lists of `torch.nn.Parameter`, as a model's `parameters()` gives them."""
    import torch

    def made(held: list[Parameter]) -> list[Any]:
        return [
            eval(each.text(at), {"torch": torch})  # our own text
            for at, each in enumerate(held)
        ]

    return st.lists(parameters(dtypes=dtypes), min_size=1, max_size=most).map(made)


def training_machine(
    factory: Callable[[Any], Any],
) -> type[RuleBasedStateMachine]:
    """A state machine whose rules are the moves of a training with this factory.

    Steps, closures, saves and loads, new groups, freezing, in any order; nothing may
    raise, every parameter stays finite, and frozen ones stay where they are.

    >>> import torch
    >>> from hypothesis.stateful import run_state_machine_as_test
    >>> run_state_machine_as_test(training_machine(torch.optim.SGD))
    """
    with surroundings_kept():
        facts, _ = probe(factory, frozenset())

    class TrainingMachine(RuleBasedStateMachine):
        frozen = False

        @initialize(
            held=st.lists(
                parameters(kind="ordinary", dtypes=("float32",), layouts=LAYOUTS[:1]),
                min_size=1,
                max_size=3,
            )
        )
        def begin(self, held: list[Parameter]) -> None:
            training = Training(factory, Header(factory="# factory = ..."), facts)
            training.accuse()
            self.episode = Episode(training, Case(tuple(held), ()))

        @rule()
        def step(self) -> None:
            self.episode.step()

        @rule()
        def closure(self) -> None:
            self.episode.closure()

        @rule()
        def resume(self) -> None:
            self.episode.resume()

        @rule()
        def rewind(self) -> None:
            self.episode.rewind()

        @rule()
        def add(self) -> None:
            self.episode.add()

        @rule()
        def idle(self) -> None:
            self.episode.idle()

        @rule()
        def zero_grad(self) -> None:
            self.episode.zero_grad()

        @rule()
        def halve(self) -> None:
            self.episode.halve()

        @precondition(lambda self: not self.frozen)
        @rule()
        def freeze(self) -> None:
            self.episode.freeze()
            self.frozen = True

        @precondition(lambda self: self.frozen)
        @rule()
        def unfreeze(self) -> None:
            self.episode.unfreeze()
            self.frozen = False

    return TrainingMachine
