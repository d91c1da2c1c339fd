"""Judges a rule by laws, one after another; one cause is one accusation."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from dux_sandbox.laws.cases import Case
from dux_sandbox.laws.header import Header, header_of, in_train_mode
from dux_sandbox.laws.keeping import surroundings_kept
from dux_sandbox.laws.law import Law
from dux_sandbox.laws.probing import CannotJudge, probe
from dux_sandbox.laws.script import Died, Raised, Unjudged, Violation
from dux_sandbox.laws.training import Facts, Training
from dux_sandbox.laws.traits import declared_in

Factory = Callable[[Any], torch.optim.Optimizer]
Verdict = Literal["kept", "broken", "relaxed", "unjudged"]

_RELAXED = "relaxed: "


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

    @property
    def verdict(self) -> Verdict:
        """What came of it in a word.

        "relaxed": a declared or shown trait took the edge off the law; "unjudged":
        nothing speaks against the rule, and nothing was tried; the message says why.
        """
        if not self.ok:
            return "broken"
        if self.message.startswith(_RELAXED):
            return "relaxed"
        return "unjudged" if self.message else "kept"


def _probed(
    factory: Factory, traits: frozenset[str] | None, source: str | None
) -> tuple[Factory, Facts, Header]:
    """The factory in train mode, what is known of its rules, and how scripts begin.

    Raises:
        CannotJudge: nothing can be made of it.
    """
    with surroundings_kept():
        made = in_train_mode(factory)
        facts, built = probe(made, traits or frozenset())
        if traits is None:
            traits = declared_in(getattr(made, "__doc__", None))
            traits |= declared_in(type(built).__doc__)
            if traits:
                facts, built = probe(made, traits)
        return made, facts, header_of(factory, built, source)


def judge(
    factory: Factory,
    laws: list[Law],
    examples: int,
    seed: int,
    traits: frozenset[str] | None,
    source: str | None,
) -> Iterator[LawResult]:
    """One result for each law, in their order; see `check_laws`.

    What keeps a rule from being tried at all is told by one law: by `accepts`, where
    that is among them. The others say that they were not tried, and who says why.
    """
    if not laws:
        return
    first = next((law for law in laws if law.name == "accepts"), laws[0])
    try:
        factory, facts, header = _probed(factory, traits, source)
    except CannotJudge as error:
        for law in laws:
            ok, trouble = law is not first, str(error)
            yield LawResult(law.name, ok, _not_tried(trouble, first) if ok else trouble)
        return
    teller: Law | None = None  # the first that told what the rule raised
    begun: LawResult | None = None
    told: dict[str, str] = {}  # causes, and the law that told of each
    for law in laws:
        if law is first and begun is not None:
            yield begun
            continue
        trial = _Trial(factory, header, facts, law)
        result = trial.result(examples, seed)
        if trial.died and first.name == "accepts" and begun is None:
            # What dies on everything dies there as well, and there it is told.
            begins = _Trial(factory, header, facts, first)
            begun = begins.result(examples, seed)
            if begins.cause:
                told[begins.cause] = first.name
        if law is first:
            begun = result
        if trial.died:
            if begun is not None and not begun.ok:
                teller = first
            if teller is None:
                teller = law
                message = f"it cannot be tried: {trial.died}"
                result = LawResult(law.name, False, message)
            else:
                message = _not_tried(trial.died, teller)
                result = LawResult(law.name, True, message)
        elif trial.cause in told and (law.retells or not trial.raised):
            message = f"not judged, as `{told[trial.cause]}` tells of the cause"
            result = LawResult(law.name, True, message)
        elif trial.cause:
            told.setdefault(trial.cause, law.name)
            if teller is None and trial.raised:
                teller = law
        yield result


def _not_tried(why: str, teller: Law) -> str:
    return f"not tried, as `{teller.name}` says: {why}"


class _Trial:
    """One law and one rule.

    Attributes:
        died: what the rule raised where nothing could be judged; "" otherwise.
        cause: what is behind a broken law, where others could tell of it as well.
        raised: whether that is an error of the rule.
    """

    def __init__(
        self, factory: Factory, header: Header, facts: Facts, law: Law
    ) -> None:
        self._factory = factory
        self._header = header
        self._facts = facts
        self._law = law
        self._judged = False
        self._unjudged: Unjudged | None = None
        self.died = ""
        self.cause, self.raised = "", False

    def result(self, examples: int, seed: int) -> LawResult:
        """Try the cases made by hand, then those that are drawn."""
        law, facts = self._law, self._facts
        trait = self._trait()
        if trait and trait != "matrices-only":
            return LawResult(law.name, True, self._relaxation(trait))
        if law.steady and facts.random:
            return LawResult(law.name, True, "not tried: the rule draws random numbers")
        if law.needs is not None and facts.number(law.needs) is None:
            return LawResult(law.name, True, f"the rule has no option {law.needs}")
        examples = examples if law.most_drawn is None else min(law.most_drawn, examples)
        try:
            for case in law.corners:
                self.try_one(case)
            if examples:
                from dux_sandbox.laws.drawing import draw
                from dux_sandbox.laws.strategies import cases

                draw(cases(law.drawn), self.try_one, examples, seed)
        except Violation as broken:
            self.cause, self.raised = broken.cause, isinstance(broken, Raised)
            return LawResult(law.name, False, broken.message, broken.script)
        if not self._judged and self._unjudged is not None:
            if isinstance(self._unjudged, Died):
                self.died = str(self._unjudged)
            return LawResult(law.name, True, f"not tried: {self._unjudged}")
        return LawResult(law.name, True, self._relaxation(trait))

    def _trait(self) -> str:
        """The trait of the rule that relaxes this law; "" without one."""
        held = self._facts.traits
        return next((each for each in self._law.relaxed_by if each in held), "")

    def _relaxation(self, trait: str) -> str:
        if trait and trait in self._facts.shown:
            shows = "the constructor refuses others"
            if trait == "needs-closure":
                shows = "its step demands one"
            return f"{_RELAXED}{shows}: {trait}"
        return f"{_RELAXED}{trait} is declared" if trait else ""

    def try_one(self, case: Case) -> bool:
        """Whether a case could be judged; raises Violation where it breaks the law."""
        if self._facts.tiny:
            case = _in_float64(case)
        if "matrices-only" in self._facts.traits:
            case = _of_matrices(case, self._facts.most_sides)
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
                if self._unjudged is None or isinstance(reason, Died):
                    self._unjudged = reason
                return False
        self._judged = True
        return True

    def _train_plainly(self, case: Case) -> None:
        """Two steps of the case with nothing special about them, one without gradients.

        Raises:
            Died: it does not even get that far, which is for `accepts` to say, or,
                where gradients are missing, for `missing`.
        """
        rows: tuple[tuple[str, ...], ...] = (("steady",) * len(case.parameters),) * 2
        if self._law.name != "missing":
            rows += (("none",) * len(case.parameters),)
        control = Training(self._factory, Header(), self._facts)
        plain = replace(case, gradients=rows)
        control.begin(plain)
        control.train(plain)


def _in_float64(case: Case) -> Case:
    """The case for a rule whose first steps a float32 cannot tell from none."""
    parameters = tuple(
        replace(each, dtype="float64") if each.dtype == "float32" else each
        for each in case.parameters
    )
    return replace(case, parameters=parameters)


def _of_matrices(case: Case, most_sides: int) -> Case:
    """The case with every shape made one that a rule for matrices takes."""
    parameters = tuple(
        each
        if 2 <= len(each.shape) <= most_sides and 0 not in each.shape
        else replace(each, shape=(2, 3))
        for each in case.parameters
    )
    return replace(case, parameters=parameters)
