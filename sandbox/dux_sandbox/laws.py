"""The laws of an optimizer, each with its reason, and `check_laws` to try them.

from dux_sandbox.laws import check_laws
for result in check_laws(lambda params: torch.optim.Adam(params, lr=1e-3)):
    print(result.name, result.ok, result.message)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from dux_sandbox.lawful.calling import CALLING_LAWS
from dux_sandbox.lawful.cases import Case
from dux_sandbox.lawful.decaying import DECAY
from dux_sandbox.lawful.episodes import EPISODE
from dux_sandbox.lawful.grouping import GROUPING_LAWS
from dux_sandbox.lawful.header import header_of
from dux_sandbox.lawful.keeping import surroundings_kept
from dux_sandbox.lawful.law import Drawn as Drawn
from dux_sandbox.lawful.law import Law as Law
from dux_sandbox.lawful.memory import DETERMINISTIC, MEMORY_LAWS
from dux_sandbox.lawful.options import OPTIONS
from dux_sandbox.lawful.ownership import OWNERSHIP_LAWS
from dux_sandbox.lawful.probing import CannotJudge, probe
from dux_sandbox.lawful.script import Raised, Unjudged, Violation
from dux_sandbox.lawful.training import Facts, Training
from dux_sandbox.lawful.traits import TRAITS as TRAITS
from dux_sandbox.lawful.traits import declared_in
from dux_sandbox.lawful.values import VALUES_LAWS

Factory = Callable[[Any], torch.optim.Optimizer]

LAWS: tuple[Law, ...] = (
    # First, while what a class may count for all its rules together is still small.
    DETERMINISTIC,
    *VALUES_LAWS,
    DECAY,
    *OWNERSHIP_LAWS,
    *MEMORY_LAWS,
    *GROUPING_LAWS,
    OPTIONS,
    *CALLING_LAWS,
    EPISODE,
)


# How many of the cases made by hand a short run tries of each law.
_QUICK_CORNERS = 4


@dataclass(frozen=True)
class LawResult:
    """What came of one law.

    Attributes:
        name: the law's.
        ok: whether the rule keeps it, as far as it was tried.
        message: how it is broken, or why it was not tried; "" when it is kept.
        example: a script that shows the violation with torch alone; "" without one.
    """

    name: str
    ok: bool
    message: str = ""
    example: str = ""


class HypothesisMissing(ImportError):
    """hypothesis is not installed; the message ends in the `pip install`."""


def check_laws(
    factory: Factory,
    *,
    examples: int = 50,
    skip: Iterable[str] = (),
    seed: int = 0,
    traits: Iterable[str] | None = None,
    source: str | None = None,
) -> list[LawResult]:
    """Try every law on a rule.

    Each law is tried on cases made by hand first, then on `examples` drawn by
    hypothesis, and a failing one is shrunk. The same seed gives the same results.
    Whatever the rule raises is a violation; global modes and random numbers are
    afterwards what they were.

    Args:
        factory: makes an optimizer of parameters or of parameter groups; called
            often, with parameters on the CPU.
        examples: drawn for each law; 0 tries the cases made by hand only, and needs
            no hypothesis.
        skip: names of laws that are left out.
        seed: of what is drawn.
        traits: names of `TRAITS`; None: those that the docstring of the factory or
            of the optimizer's class declares, as in `dux: clips-gradients`.
        source: the text that defines the class, for the scripts; None: looked up.

    Returns:
        One result for each law that is not left out, in the order of `LAWS`.

    Raises:
        ValueError: `skip` or `traits` names something unknown, `examples` < 0.
        HypothesisMissing: `examples` > 0 without the extra `fuzz`.

    >>> [r.name for r in check_laws(torch.optim.SGD, examples=0) if not r.ok]
    []
    """
    return list(
        iter_laws(
            factory,
            examples=examples,
            skip=skip,
            seed=seed,
            traits=traits,
            source=source,
        )
    )


def iter_laws(
    factory: Factory,
    *,
    examples: int = 50,
    skip: Iterable[str] = (),
    seed: int = 0,
    traits: Iterable[str] | None = None,
    source: str | None = None,
    quick: bool = False,
) -> Iterator[LawResult]:
    """The same, one result after another; `quick` tries few cases made by hand."""
    laws = laws_to_try(examples, skip)
    named = None if traits is None else _known("traits", traits, list(TRAITS))
    if quick:
        laws = [replace(law, corners=law.corners[:_QUICK_CORNERS]) for law in laws]
    return _results(factory, laws, examples, seed, named, source)


def laws_to_try(examples: int, skip: Iterable[str]) -> list[Law]:
    """The laws that are not left out, in order.

    Raises:
        ValueError: `skip` names no law, or `examples` < 0.
        HypothesisMissing: `examples` > 0 and hypothesis cannot be imported.
    """
    skipped = _known("skip", skip, [law.name for law in LAWS])
    if examples < 0:
        raise ValueError(f"examples is {examples}; it must be >= 0.")
    if examples:
        _require_hypothesis()
    return [law for law in LAWS if law.name not in skipped]


def _require_hypothesis() -> None:
    try:
        import hypothesis  # noqa: F401
    except ImportError:
        raise HypothesisMissing(
            "hypothesis is not installed; drawing examples for the laws needs it; "
            "pip install 'dux-agent[fuzz]'"
        ) from None


def _known(what: str, names: Iterable[str], wanted: list[str]) -> frozenset[str]:
    found = frozenset([names] if isinstance(names, str) else names)
    for name in sorted(found - set(wanted)):
        raise ValueError(f"{what} names {name!r}; known are {', '.join(wanted)}.")
    return found


def _results(
    factory: Factory,
    laws: list[Law],
    examples: int,
    seed: int,
    traits: frozenset[str] | None,
    source: str | None,
) -> Iterator[LawResult]:
    with surroundings_kept():
        try:
            facts, built = probe(factory, traits or frozenset())
            if traits is None:
                traits = declared_in(getattr(factory, "__doc__", None))
                traits |= declared_in(type(built).__doc__)
                if traits:
                    facts, built = probe(factory, traits)
            header = header_of(factory, built, source)
        except CannotJudge as error:
            trouble = str(error)
        else:
            trouble = ""
    for law in laws:
        if trouble:
            yield LawResult(law.name, False, trouble)
        else:
            yield _Trial(factory, header, facts, law).result(examples, seed)


class _Trial:
    """One law and one rule."""

    def __init__(self, factory: Factory, header: str, facts: Facts, law: Law) -> None:
        self._factory = factory
        self._header = header
        self._facts = facts
        self._law = law
        self._judged = False
        self._unjudged = ""

    def result(self, examples: int, seed: int) -> LawResult:
        law, facts = self._law, self._facts
        off = law.relaxed_by in facts.traits and law.relaxed_by != "matrices-only"
        if off:
            return LawResult(law.name, True, f"relaxed: {law.relaxed_by} is declared")
        if law.steady and facts.random:
            return LawResult(law.name, True, "not tried: the rule draws random numbers")
        if law.needs is not None and facts.number(law.needs) is None:
            return LawResult(law.name, True, f"the rule has no option {law.needs}")
        try:
            for case in law.corners:
                self.try_one(case)
            if examples:
                from dux_sandbox.drawing import draw
                from dux_sandbox.strategies import cases

                draw(cases(law.drawn), self.try_one, examples, seed)
        except Violation as broken:
            return LawResult(law.name, False, broken.message, broken.script)
        if not self._judged and self._unjudged:
            return LawResult(law.name, False, f"it cannot be tried: {self._unjudged}")
        return LawResult(law.name, True, self._relaxation())

    def _relaxation(self) -> str:
        if self._law.relaxed_by in self._facts.traits:
            return f"relaxed: {self._law.relaxed_by} is declared"
        return ""

    def try_one(self, case: Case) -> bool:
        """Whether a case could be judged; raises Violation where it breaks the law."""
        if "matrices-only" in self._facts.traits:
            case = _of_matrices(case)
        training = Training(self._factory, self._header, self._facts)
        with surroundings_kept():
            try:
                try:
                    self._law.experiment(training, case)
                except Raised:
                    if self._law.name != "accepts":
                        self._train_plainly(case)
                    raise
            except Unjudged as reason:
                self._unjudged = self._unjudged or str(reason)
                return False
        self._judged = True
        return True

    def _train_plainly(self, case: Case) -> None:
        """Two steps of the case with nothing special about them.

        Raises:
            Unjudged: it does not even get that far, which is for `accepts` to say.
        """
        gradients = (("steady",) * len(case.parameters),) * 2
        control = Training(self._factory, "", self._facts)
        plain = replace(case, gradients=gradients)
        control.begin(plain)
        control.train(plain)


def _of_matrices(case: Case) -> Case:
    """The case with every shape made one that a rule for matrices takes."""
    parameters = tuple(
        each
        if len(each.shape) >= 2 and 0 not in each.shape
        else replace(each, shape=(2, 3))
        for each in case.parameters
    )
    return replace(case, parameters=parameters)
