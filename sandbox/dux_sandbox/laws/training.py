"""A training as the laws write it: parameters, gradients, steps, a second world."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from dux_sandbox.laws.cases import Case, Options, Shape
from dux_sandbox.laws.header import Header
from dux_sandbox.laws.script import Script, Unjudged

_LETTERS = "abcdefgh"


@dataclass(frozen=True)
class Facts:
    """What is known of a rule before its laws are tried.

    Attributes:
        options: the options of its first group, without "params".
        traits: what it declares.
        by_closure: it is stepped with a closure, because it must be.
        line_search: it calls the closure more than once in a step.
        random: it reads torch's global random numbers.
        remembers: it keeps weights to go back to, as Lookahead and averages do.
        shown: traits that it does not declare: its constructor refuses all else.
        most_sides: the most dimensions of a parameter that its constructor takes.
        idle: how many first steps only gather (one in ADOPT and SOAP), or come
            between two that move (a rule that moves at every fourth has three).
        centres: of what it takes the mean away from gradients: "rows", "columns",
            "all".
        guarded: it was loaded from a source, and takes tensors by their exact type.
        moves: it moves at all.
        still: a gradient that stays the same moves nothing, for it takes the mean away
            from steps that are of one length then.
        tiny: its first steps are below what a float32 can tell apart.
    """

    options: dict[str, Any] = field(default_factory=dict)
    traits: frozenset[str] = frozenset()
    by_closure: bool = False
    line_search: bool = False
    random: bool = False
    remembers: bool = False
    shown: frozenset[str] = frozenset()
    most_sides: int = 4
    idle: int = 0
    centres: frozenset[str] = frozenset()
    guarded: bool = False
    moves: bool = True
    still: bool = False
    tiny: bool = False

    def nothing_left(self, shape: Shape) -> bool:
        """Whether a gradient of this shape vanishes when its mean is taken away."""
        matrix = len(shape) > 1
        return (
            ("rows" in self.centres and matrix and math.prod(shape[1:]) == 1)
            or ("columns" in self.centres and matrix and shape[0] == 1)
            or ("all" in self.centres and math.prod(shape) == 1)
        )

    def number(self, option: str) -> float | None:
        """The value of an option that is one number, also in a tensor; else None."""
        value = self.options.get(option)
        if isinstance(value, torch.Tensor) and value.ndim == 0:
            value = value.item()
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return float(value)


class Training:
    """Writes one experiment. A suffix names a world: `a2`, `optimizer2` ...

    Nothing in one world is shared with another, so that two can be compared.
    """

    def __init__(
        self, factory: Callable[[Any], Any], header: Header, facts: Facts
    ) -> None:
        self.facts = facts
        self.script = Script(factory, header)
        self._seeds = 0

    def apart(self) -> Training:
        """Another training of the same rule, which no script tells of."""
        return Training(self.script.look("factory"), Header(), self.facts)

    def run(self, line: str) -> None:
        """One more statement; see `Script.run`."""
        self.script.run(line)

    def claim(self, expression: str, otherwise: str) -> None:
        """One more assertion; see `Script.claim`."""
        self.script.claim(expression, otherwise)

    def claim_moved(self, expression: str, otherwise: str) -> None:
        """Claim that something moves under a gradient that stays the same.

        Raises:
            Unjudged: the rule is one that does not move then.
        """
        if self.facts.still:
            raise Unjudged("a gradient that stays the same leaves it nothing to do")
        self.script.claim(expression, otherwise, self.stillness)

    def require_rate(self, case: Case) -> None:
        """Refuse to judge where a rule would move and its rate is its own, and 0.

        Raises:
            Unjudged: so it is.
        """
        if case.options == ((),) and self.facts.number("lr") == 0:
            raise Unjudged("its own rate is 0, and a schedule is to set another")

    @property
    def stillness(self) -> str:
        """The cause where something does not move: the rule never moves anything."""
        return "" if self.facts.moves else "it never moves"

    def accuse(self) -> None:
        """From here on, what the rule raises breaks the law."""
        self.script.accuse()

    def names(self, case: Case, suffix: str = "") -> list[str]:
        """What the parameters of a world are called."""
        return [f"{_LETTERS[at]}{suffix}" for at in range(len(case.parameters))]

    def begin(
        self,
        case: Case,
        suffix: str = "",
        *,
        backwards: bool = False,
        only: Sequence[int] | None = None,
        generator: bool = False,
    ) -> None:
        """Make the parameters of a world and its optimizer.

        Args:
            case: what to make.
            suffix: the name of the world.
            backwards: parameters and groups in the opposite order.
            only: the positions of the parameters that are made; None: all.
            generator: hand the parameters over as a generator.
        """
        self.make(case, suffix, only=only)
        self.build(case, suffix, backwards=backwards, only=only, generator=generator)

    def make(
        self, case: Case, suffix: str = "", only: Sequence[int] | None = None
    ) -> None:
        """Make the parameters of a world without an optimizer."""
        for at, name in enumerate(self.names(case, suffix)):
            if only is None or at in only:
                self.run(f"{name} = {case.parameters[at].text(at)}")

    def build(
        self,
        case: Case,
        suffix: str = "",
        *,
        backwards: bool = False,
        only: Sequence[int] | None = None,
        generator: bool = False,
    ) -> None:
        """Make the optimizer of a world over its parameters."""
        names = self.names(case, suffix)
        groups = []
        for number in range(case.group_count):
            members = [at for at in case.members(number) if only is None or at in only]
            given = case.options[number] if number < len(case.options) else ()
            turned = reversed(members) if backwards else members
            listed = ", ".join(names[at] for at in turned)
            groups.append((listed, self.options_text(given)))
        if only is not None:
            groups = [group for group in groups if group[0]]
        if backwards:
            groups.reverse()
        if len(groups) == 1 and not groups[0][1]:
            held = f"[{groups[0][0]}]"
        else:
            rows = [f'{{"params": [{each}]{tail}}}' for each, tail in groups]
            held = f"[{', '.join(rows)}]"
        if generator:
            held = f"(p for p in [{', '.join(names)}])"
        self.seed()
        self.run(f"optimizer{suffix} = factory({held})")

    def options_text(self, options: Options) -> str:
        """Options as the tail of a dict, without those the rule has not."""
        kept = [(name, value) for name, value in options if self.has(name)]
        return "".join(f', "{name}": {value!r}' for name, value in kept)

    def has(self, option: str) -> bool:
        """Whether the rule has an option, as a plain number or numbers."""
        value = self.facts.options.get(option)
        return self.facts.number(option) is not None or isinstance(value, tuple)

    def give(
        self,
        case: Case,
        step: int,
        suffix: str = "",
        *,
        only: Sequence[int] | None = None,
        in_place: bool = False,
    ) -> None:
        """Set the gradients of a step; in place where they are there already."""
        kinds = case.gradients[step]
        for at, name in enumerate(self.names(case, suffix)):
            if only is not None and at not in only:
                continue
            phase = 5 * step + 3 * at
            if kinds[at] == "none":
                self.run(f"{name}.grad = None")
                continue
            held = case.parameters[at].gradient_text(kinds[at], phase)
            if in_place and step and case.gradients[step - 1][at] != "none":
                self.run(f"{name}.grad.copy_({held})")
            else:
                self.run(f"{name}.grad = {held}")

    def under_way(self, case: Case) -> Case:
        """The case with as many steps before its own as the rule only gathers in."""
        before = (("steady",) * len(case.parameters),) * self.facts.idle
        return replace(case, gradients=(*before, *case.gradients))

    def step(self, case: Case, suffix: str = "") -> None:
        """Take one step."""
        self.seed()
        if not self.facts.by_closure:
            self.run(f"optimizer{suffix}.step()")
            return
        self.script.use("linear_loss")
        own = f'*(p for g in optimizer{suffix}.param_groups for p in g["params"])'
        self.run(f"optimizer{suffix}.step(linear_loss({own}))")

    def seed(self, number: int = 0) -> None:
        """Make a rule that draws random numbers draw the same in every world."""
        if self.facts.random:
            self.run(f"torch.manual_seed({number})")

    def train(
        self,
        case: Case,
        suffix: str = "",
        *,
        only: Sequence[int] | None = None,
        until: int | None = None,
        start: int = 0,
    ) -> None:
        """Gradients and step, for each step of the case."""
        for step in range(start, len(case.gradients) if until is None else until):
            self.give(case, step, suffix, only=only)
            self.step(case, suffix)

    def set_option(self, option: str, value: object, suffix: str = "") -> None:
        """Change an option of every group, as a scheduler does."""
        self.run(
            f"for group in optimizer{suffix}.param_groups: "
            f'group["{option}"] = {value!r}'
        )

    def keep(self, case: Case, suffix: str = "", into: str = "before") -> None:
        """Remember the values of a world's parameters."""
        names = ", ".join(self.names(case, suffix))
        self.run(f"{into} = [p.detach().clone() for p in ({names},)]")
