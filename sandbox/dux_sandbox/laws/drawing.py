"""Draws cases with hypothesis, the same ones for the same seed, and shrinks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import hypothesis
from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis.internal.conjecture.providers import (
    AVAILABLE_PROVIDERS,
    HypothesisProvider,
)
from hypothesis.strategies import SearchStrategy

from dux_sandbox.laws.cases import Case
from dux_sandbox.laws.script import Violation


def draw(
    strategy: SearchStrategy[Case],
    try_one: Callable[[Case], bool],
    examples: int,
    seed: int,
) -> None:
    """Try drawn cases until one breaks the law.

    Raises:
        Violation: with the smallest case that was found.
    """
    last: list[Violation] = []

    def property_holds(case: Case) -> None:
        try:
            judged = try_one(case)
        except Violation as broken:
            last.append(broken)
            raise
        if not judged:
            hypothesis.reject()

    tried = settings(
        max_examples=examples,
        database=None,
        deadline=None,
        derandomize=False,
        report_multiple_bugs=False,
        print_blob=False,
        verbosity=Verbosity.quiet,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )(hypothesis.seed(seed)(hypothesis.given(strategy)(property_holds)))
    try:
        with _without_constants_of_the_program():
            tried()
    except Violation:
        raise
    except hypothesis.errors.HypothesisException:
        # Flaky: it broke the law once and not again on the same case.
        if last:
            raise last[-1] from None
        # Nothing that was drawn could be judged: another law says why.


class _NoConstants:
    """What a program holds of constants: nothing."""

    def set_for_type(self, kind: object) -> tuple[()]:
        return ()


class _Unread(HypothesisProvider):
    """Draws as hypothesis does, without reading the source of every loaded module.

    It draws the constants it finds there now and then. So the same seed would draw
    other cases once another module is imported; and in a jail no file can be opened.
    """

    _local_constants = _NoConstants()


@contextmanager
def _without_constants_of_the_program() -> Iterator[None]:
    """Let `_Unread` draw, in the registry that hypothesis has for its backends."""
    usual = AVAILABLE_PROVIDERS["hypothesis"]
    AVAILABLE_PROVIDERS["hypothesis"] = _Unread
    try:
        yield
    finally:
        AVAILABLE_PROVIDERS["hypothesis"] = usual


def rehearse() -> None:
    """Break a law once, so that all of hypothesis is loaded that shrinking needs.

    Where a choice has been half explored, hypothesis draws with its own provider and
    not with `_Unread`: what that reads of the program, it reads now.
    """
    from dux_sandbox.laws.law import Drawn
    from dux_sandbox.laws.strategies import cases

    def never(case: Case) -> bool:
        raise Violation("a rehearsal", "")

    assert HypothesisProvider(None)._local_constants is not None
    try:
        draw(cases(Drawn()), never, 3, 0)
    except Violation:
        pass
