"""Writes an agent's events into the run folder, where there is one."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Self

from dux_agent.decisions import Decision
from dux_agent.errors import BadArgument, RunFolderUnusable
from dux_agent.run_folder.folder import RunFolder
from dux_agent.run_folder.watchers_word import PAUSED, paused
from dux_agent.settings import Settings
from dux_graphs.events import ApplyEvent, EventBody, ObservationEvent, ReplyEvent
from dux_graphs.redaction import REDACTED

log = logging.getLogger(__name__)

_EACH_OF = 512  # losses kept one by one; each doubling of the run adds half as many


class Recorder:
    """An agent's way to its run folder; does nothing where there is none.

    A full disk must not end a training: what cannot be written is lost with one
    warning.
    """

    def __init__(self, folder: RunFolder | None, *, owned: bool) -> None:
        self.folder = folder
        self._owned = owned
        self._warned = False

    @classmethod
    def of(
        cls, run_dir: str | Path | RunFolder | None, settings: Settings, lm: Any
    ) -> Recorder:
        """Make the run folder, or use the one that the caller keeps.

        Raises:
            BadArgument: it is no path.
            RunFolderExists: it holds something already; nothing was written.
        """
        if run_dir is None or isinstance(run_dir, RunFolder):
            return cls(run_dir, owned=False)
        if not isinstance(run_dir, str | os.PathLike):
            raise BadArgument(
                f"run_dir is {run_dir!r:.80}; the path of a folder was wanted; pass "
                f'run_dir="runs/mine", or leave it out.'
            )
        facts = {
            "task": settings.task,
            "seed": settings.seed,
            "model": name_of(lm),
            "arguments": _arguments(settings),
        }
        return cls(RunFolder.create(run_dir, facts), owned=True)

    @property
    def name(self) -> str | None:
        """The run's name: what its folder was called when it was made."""
        if self.folder is None:
            return None
        return str(self.folder.facts.get("run") or self.folder.path.name)

    @property
    def position(self) -> int | None:
        """Length of the trace, bytes; None without a run folder."""
        return None if self.folder is None else self.folder.position

    def go_on_from(self, position: int | None) -> None:
        """What was recorded after this will be told again; see `AlreadyRecorded`.

        A new folder has no such part: its run goes on from elsewhere.

        Raises:
            RunFolderUnusable: the folder is another run's.
        """
        if self.folder is not None and self.folder.opened and position is not None:
            self.folder.go_on_from(position)

    def known_reply(self, decision: int, prompt: str) -> dict[str, Any] | None:
        """The data of the reply that a run which died got to this prompt.

        None also where it held what looked like a secret: what is recorded is then not
        what was said.
        """
        if self.folder is None:
            return None
        found = self.folder.known_reply(decision, prompt)
        body = None if found is None else found.body
        if not isinstance(body, ReplyEvent) or REDACTED in body.content:
            return None
        return body.entries()

    def known_replies(self, decision: int) -> list[ReplyEvent]:
        """Every reply that a run which died got in this decision."""
        if self.folder is None:
            return []
        bodies = [event.body for event in self.folder.known(decision, "reply")]
        return [body for body in bodies if isinstance(body, ReplyEvent)]

    def known_experience(self, decision: int) -> Sequence[Mapping[str, Any]] | None:
        """What the prompts of a decision that a run which died had begun showed."""
        if self.folder is not None:
            for known in self.folder.known(decision, "observation"):
                if isinstance(known.body, ObservationEvent):
                    return known.body.experience
        return None

    def paused(self, decision: int) -> bool:
        """Whether whoever watches the run has no decision made.

        Of one that a run which died had come to the end of, the trace says whether.
        """
        if self.folder is None:
            return False
        for known in self.folder.known(decision, "apply"):
            return isinstance(known.body, ApplyEvent) and known.body.reason == PAUSED
        return paused(self.folder.path)

    def tell(self, body: EventBody, *, step: int, decision: int | None = None) -> None:
        """Append one event."""
        self.event(body.kind, step=step, decision=decision, data=body.entries())

    def tell_of(self, decision: Decision, body: EventBody) -> None:
        """Append an event of a decision, with the step at which it was asked."""
        self.tell(body, step=decision.step, decision=decision.number)

    def event(
        self, kind: str, *, step: int, decision: int | None, data: dict[str, Any]
    ) -> None:
        """The same of its kind and its data."""
        if self.folder is None:
            return
        try:
            self.folder.event(kind, step=step, decision=decision, data=data)
        except RunFolderUnusable as error:
            self._warn(error)

    def loss(self, step: int, loss: float) -> None:
        """Append a loss, if its step is one of those that are kept.

        Every step up to 512, then every second up to 1024, every fourth up to 2048:
        a run of a million steps leaves 3,300 losses.
        """
        if self.folder is None:
            return
        stride = 1
        while step > _EACH_OF * stride:
            stride *= 2
        if step % stride:
            return
        try:
            self.folder.loss(step, loss)
        except RunFolderUnusable as error:
            self._warn(error)

    def keep_source(self, source: str) -> None:
        """Store a source by its digest."""
        if self.folder is None:
            return
        try:
            self.folder.keep_source(source)
        except RunFolderUnusable as error:
            self._warn(error)

    def close(self) -> None:
        """Close the folder if it was made here."""
        if self.folder is not None and self._owned:
            self.folder.close()

    @contextmanager
    def begins(self) -> Iterator[Self]:
        """Itself; where the run does not begin in here, a folder made for it goes."""
        try:
            yield self
        except BaseException:
            if self.folder is not None and self._owned:
                self.folder.discard()  # what is left must not look like a run
            raise

    def _warn(self, error: RunFolderUnusable) -> None:
        if not self._warned:
            self._warned = True
            log.warning("%s Training goes on without the record.", error)


def name_of(lm: Any) -> str:
    """What a run calls its language models, in the order that they are asked in."""
    if lm is None:
        return "none"
    if isinstance(lm, Mapping):
        return ", ".join(f"{name_of(each)} x {lm[each]:g}" for each in lm)
    if isinstance(lm, list | tuple):
        return ", ".join(name_of(each) for each in lm)
    return lm if isinstance(lm, str) else type(lm).__name__


def _arguments(settings: Settings) -> dict[str, Any]:
    """The arguments of `attach` that are plain data, but for task and seed."""
    told: dict[str, Any] = {"limits": asdict(settings.limits)}
    for each in fields(settings):
        value = getattr(settings, each.name)
        if value is None or isinstance(value, str | int | float):
            told[each.name] = value
    return {name: told[name] for name in told if name not in ("task", "seed")}
