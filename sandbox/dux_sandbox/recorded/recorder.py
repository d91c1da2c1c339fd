"""Runs a rule on tensors without values, and gives what it did as a program.

For the rule's own process: it runs generated code.
"""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from dux_sandbox.loading import build_over, load
from dux_sandbox.recorded.asides import Asides, asides_of
from dux_sandbox.recorded.exploring import Run
from dux_sandbox.recorded.forking import Forks, Path
from dux_sandbox.recorded.guarding import RecordingGuards
from dux_sandbox.recorded.laying import asks_how_tensors_lie
from dux_sandbox.recorded.merging import merged
from dux_sandbox.recorded.outside import outside_of
from dux_sandbox.recorded.program import Program
from dux_sandbox.recorded.session import Kept, Session, Shown
from dux_sandbox.recorded.sharing import Met, Sharing
from dux_sandbox.recorded.tape import Unrecordable
from dux_sandbox.stepping import call_step

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recording:
    """One step, or the building of the rule.

    Attributes:
        program: what it does.
        calls: how often it called the closure.
    """

    program: Program
    calls: int = 0


class Recorder:
    """One source over parameters without values, asked for programs.

    Attributes:
        kind: the guarded class.
        rule: the rule of the last recording.
    """

    def __init__(
        self,
        source: str,
        shown: Sequence[Shown],
        groups: Sequence[Sequence[int]],
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        """Nothing is loaded yet; `build` does.

        Args:
            source: the text of the rule.
            shown: its parameters.
            groups: for each group the indices of its parameters.
            device: where the rule is told that they are.
            seed: of the random numbers that it draws without a generator.
        """
        self.kind: Any = None
        self.rule: Any = None
        self._source = source
        self._shown = shown
        self._groups = groups
        self._device = device
        self._seed = seed
        self._as_laid = asks_how_tensors_lie(source)
        self._met = Met()
        self._asides = Asides()
        self._guards = RecordingGuards(self._asides)
        self._usual: dict[tuple[int | None, str], bool] = {}

    def build(self) -> Recording:
        """The program that makes what a rule keeps at first.

        Raises:
            SourceRejected: the static check refuses the source.
            Unrecordable: no program can stand for it.
            Exception: what the source itself raised.
        """
        session = Session(self._shown, self._device, seed=self._seed)
        with suppress(SyntaxError):  # which the static check has more to say about
            self._asides = asides_of(self._source)
        with session.modes():
            self._begin(session)
            Sharing(self.rule, session.tape, self._met)
            return Recording(session.program(self.rule, None, None))

    def step(
        self,
        kept: Kept,
        present: Sequence[bool],
        outcomes: Sequence[bool] = (),
        closure: str | None = None,
        *,
        merge: bool = False,
    ) -> Recording:
        """The program of one step.

        Args:
            kept: what the rule keeps now.
            present: which parameters have a gradient.
            outcomes: see `Tape`.
            closure: None for a step without one; else the dtype of its loss, "nothing"
                where it returns none, or "ignored" where the rule must not call it.
            merge: with branches of single parameters both ways, where that can be.

        Raises:
            Unrecordable, Exception: as `build`.
        """
        if not merge:
            run = self._run(kept, present, outcomes, closure, None)
            return Recording(run.program, run.calls)

        def record(paths: Mapping[int, Path]) -> Run:
            return self._run(kept, present, outcomes, closure, paths)

        kinds = {place: kind for place, kind, _ in kept.leaves}
        for index, each in enumerate(self._shown):
            kinds["parameter", index] = kinds["gradient", index] = each.type
        try:
            found = merged(record, kinds)
        # Generated code, on a way that this step may not take.
        except (Exception, Unrecordable) as error:
            _log.debug("branches are not merged: %s", error)
            found = None
        if found is None:
            return self.step(kept, present, outcomes, closure)
        return Recording(found.program, found.calls)

    def _run(
        self,
        kept: Kept,
        present: Sequence[bool],
        outcomes: Sequence[bool],
        closure: str | None,
        paths: Mapping[int, Path] | None,
    ) -> Run:
        """One recording of a step."""
        session = Session(self._shown, self._device)
        with session.modes():
            self._begin(session)
        names = Sharing(self.rule, session.tape, self._met)
        session = Session(
            self._shown,
            self._device,
            outcomes,
            session.parameters,
            self._seed,
            self._usual,
            None if paths is None else Forks(paths),
            as_laid=self._as_laid,
        )
        session.tape.asides = self._asides
        with session.modes():
            session.restore(self.rule, kept)
            # No closure can change what the rule keeps.
            session.tape.read_tensor = False
            names.begin()
            session.give_gradients(present)
            outside = outside_of(self.kind, self.rule)
            self._guards.gradient_read = False
            called = session.closure(closure, self._guards)
            with suppress(Unrecordable):
                returned = call_step(self.rule, None if closure is None else called)
            session.require_recorded()
            if names.again():
                return self._run(kept, present, outcomes, closure, paths)
            if outside_of(self.kind, self.rule) != outside:
                raise session.tape.refuse("keeps something outside of the rule itself")
            program = session.program(self.rule, kept, returned)
            return Run(program, session.tape.marks, called.calls)

    def _begin(self, session: Session) -> None:
        """A rule as it is built, with nothing left of an earlier recording."""
        with suppress(Unrecordable):
            self._guards = RecordingGuards(self._asides)
            self.kind = load(self._source, guards=self._guards)
            groups = [
                {"params": [session.parameters[at] for at in each]}
                for each in self._groups
            ]
            self.rule = build_over(self.kind, groups)
        session.require_recorded()
