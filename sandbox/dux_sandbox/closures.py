"""The closure that a training loop passes to `step`, whatever a rule makes of it.

Most rules call it first of all and work from the gradients that it left. Some ignore
it: where the loop does all its work in the closure, nothing would ever be computed
again, and Lightning ends a training whose closure was not called. So the loop's
closure is evaluated once in every step in any case: by the rule, or for it.
"""

import inspect
from collections.abc import Callable
from enum import StrEnum
from numbers import Real
from typing import Any, Protocol

import torch

from dux_sandbox.findings import Finding, RuleFailed

Closure = Callable[[], Any]

# One step of a line search needs a handful of losses; a rule that asks for more
# is training on the side (measured: the corpus's Armijo rule asks for up to 9).
CLOSURE_CALLS = 10


class ClosureUse(StrEnum):
    """What a rule was seen to do with a closure that it was handed."""

    UNKNOWN = "unknown"
    CALLS = "calls"
    IGNORES = "ignores"
    SOMETIMES = "sometimes"


class ClosurePlace(StrEnum):
    """Where the step of a class takes its closure."""

    NOWHERE = "nowhere"
    POSITIONAL = "positional"
    KEYWORD = "keyword"


class UsesClosure(Protocol):
    """What is asked of a rule here; see `dux_sandbox.running_rule.RunningRule`."""

    source: str | None
    requires_closure: bool
    takes_closure: bool
    closure_use: ClosureUse

    def step(self, closure: Closure | None = None) -> Any:
        """Take one step."""


def place_of_closure(rule: type) -> tuple[ClosurePlace, bool]:
    """Where `rule.step` takes a closure, and whether it must be given one."""
    named = list(inspect.signature(rule.step).parameters.values())[1:]  # type: ignore[attr-defined]
    for parameter in named:
        bare = parameter.default is inspect.Parameter.empty
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            return ClosurePlace.POSITIONAL, False
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            if parameter.name == "closure":
                return ClosurePlace.KEYWORD, bare
        elif parameter.kind is not inspect.Parameter.VAR_KEYWORD:
            return ClosurePlace.POSITIONAL, bare
    return ClosurePlace.NOWHERE, False


def number_of(loss: Any) -> float:
    """The value of a loss, a tensor of one element or a number."""
    return float(loss.detach() if isinstance(loss, torch.Tensor) else loss)


def is_loss(value: Any) -> bool:
    """Whether a closure's value is a scalar; Lightning's manual mode returns None."""
    if isinstance(value, torch.Tensor):
        return value.numel() == 1 and not value.is_complex()
    return isinstance(value, Real) and not isinstance(value, bool)


class CountedClosure:
    """The caller's closure, counted, with its own errors told apart.

    A rule may swallow an exception or dress it up; the caller still gets the one
    that the closure raised.
    """

    def __init__(self, closure: Closure, most: int = CLOSURE_CALLS) -> None:
        self._closure = closure
        self._most = most
        self.losses: list[Any] = []
        self.error: BaseException | None = None

    def __call__(self) -> Any:
        if self.error is not None:
            raise self.error
        if len(self.losses) >= self._most:
            said = f"step called its closure more than {self._most} times"
            instead = f"call closure() at most {self._most} times in one step"
            raise RuleFailed(Finding("closure", None, said, instead))
        try:
            with torch.enable_grad():
                loss = self._closure()
        except BaseException as error:
            self.error = error
            raise
        self.losses.append(loss)
        return loss


class LoopClosure:
    """The loop's closure during one optimizer step.

    Attributes:
        values: what it returned, call by call.
        error: what it raised, if anything.
    """

    def __init__(
        self, closure: Closure, computed: Callable[[], None] | None = None
    ) -> None:
        """Wrap it.

        Args:
            closure: the caller's.
            computed: called once, when the first call has left its gradients.
        """
        self._closure = closure
        self._computed = computed
        self.values: list[Any] = []
        self.error: BaseException | None = None

    def __call__(self) -> Any:
        try:
            value = self._closure()
        except BaseException as error:
            self.error = error
            raise
        self.values.append(value)
        if len(self.values) == 1 and self._computed is not None:
            self._computed()
        return value

    @property
    def gives_loss(self) -> bool:
        """Whether a rule can work with what it returns; True while that is unknown."""
        return not self.values or is_loss(self.values[-1])


class HandedClosure:
    """What one rule is handed for the loop's closure in one step.

    A rule that is known to call it gets it as it is. Of another the loop's closure is
    evaluated before the step, and its value kept: it answers the rule's first call, if
    the weights are still where they were, so that a rule which calls it after all has
    cost nothing. A rule that was seen to ignore it is stepped without one. One that
    moved the weights before it first called it, as SAM does, works from gradients that
    are there before the step: for it the closure is evaluated before each.

    What a closure returns that is no scalar, as the None of Lightning's manual mode,
    is no loss that a rule could use: such a closure is evaluated, and the rule
    stepped without it.
    """

    def __init__(
        self, rule: UsesClosure, loop: LoopClosure, parameters: list[torch.Tensor]
    ) -> None:
        self._rule = rule
        self._loop = loop
        self._parameters = parameters
        self._before = len(loop.values)
        self._asked = False
        self._moved = False
        self._kept: Any = None
        self._kept_at: list[torch.Tensor] | None = None

    def before_step(self) -> Closure | None:
        """The closure for the rule's step, or None; evaluates the loop's if it must.

        Raises:
            Whatever the loop's closure raises; nothing of the rule has run.
        """
        rule = self._rule
        if rule.source is None or rule.closure_use is ClosureUse.CALLS:
            return self
        with torch.enable_grad():
            self._kept = self._loop()
        wanted = rule.takes_closure and (
            rule.requires_closure
            or (is_loss(self._kept) and rule.closure_use is not ClosureUse.IGNORES)
        )
        if not wanted:
            return None
        self._kept_at = [each.detach().clone() for each in self._parameters]
        return self

    def __call__(self) -> Any:
        self._asked = True
        kept_at, self._kept_at = self._kept_at, None
        if kept_at is not None:
            if all(map(torch.equal, kept_at, self._parameters)):
                return self._kept
            self._moved = True
        return self._loop()

    def after_step(self, result: Any) -> Any:
        """After the rule's step: the loop's closure has run, and what `step` returns.

        Args:
            result: what the rule's step returned.

        Returns:
            The closure's loss: the one that the rule returned, else the first.

        Raises:
            Whatever the loop's closure raises, where the rule has not called it.
        """
        loop = self._loop
        if len(loop.values) == self._before:
            with torch.enable_grad():
                loop()
        if self._rule.source is None:
            return result
        self._take_note()
        given = loop.values[self._before :]
        for value in given:
            if value is result:
                return value
        for value in given if is_loss(result) else ():
            if is_loss(value) and number_of(value) == number_of(result):
                return value
        return given[0]

    def _take_note(self) -> None:
        """Remember what the rule did with its closure."""
        rule = self._rule
        if not self._loop.gives_loss:
            # It was not handed one, or one that it could not use: nothing was learned.
            rule.closure_use = ClosureUse.UNKNOWN
        elif self._asked and rule.closure_use is ClosureUse.UNKNOWN:
            rule.closure_use = ClosureUse.SOMETIMES if self._moved else ClosureUse.CALLS
        elif not self._asked and rule.closure_use is ClosureUse.CALLS:
            rule.closure_use = ClosureUse.SOMETIMES
        elif not self._asked and rule.closure_use is ClosureUse.UNKNOWN:
            needs = rule.requires_closure
            rule.closure_use = ClosureUse.SOMETIMES if needs else ClosureUse.IGNORES
