"""The folder that records one run: what was run, what happened, every source.

run.json            what was run: versions, seed, task, model name, arguments
trace.jsonl         what happened, see `dux_agent.run_folder.trace`
decisions.sqlite    LangGraph's checkpoints, one thread a decision
checkpoint.pt       the training, to go on from, see `run_folder.run_checkpoint`
sources/<digest>.py every source, named by the SHA-256 of its bytes
control/            what is asked and said while it goes on, see `watchers_word`
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dux_agent.errors import BadArgument, MissingExtra, RunFolderUnusable
from dux_agent.run_folder.already_recorded import AlreadyRecorded, mend, tail_after
from dux_agent.run_folder.atomic import remove_parts
from dux_agent.run_folder.folder_lock import lock
from dux_agent.run_folder.kept_sources import keep
from dux_agent.run_folder.new_folder import make_folder, remove_empty
from dux_agent.run_folder.own_files import own_folder
from dux_agent.run_folder.prompt_chain import PromptChain
from dux_agent.run_folder.run_facts import read_facts
from dux_agent.run_folder.trace import Event, check_kind, number, placed, plain, whole
from dux_agent.run_folder.trace_file import TraceFile
from dux_agent.run_folder.watchers_word import forget_questions
from dux_graphs.events import ApplyEvent, ErrorEvent, ReplyEvent
from dux_sandbox.findings import digest_of

if TYPE_CHECKING:
    import sqlite3

    from langgraph.checkpoint.sqlite import SqliteSaver

# What a decision cannot do without after a power cut; the others reach the disk with
# the next of these, or when the system likes.
_SYNCED = {"reply", "apply", "rollback", "error", "trial"}


class RunFolder:
    """A run folder that is being written; safe to use from several threads.

    Made by `create` (a new one) or `open` (one that is there); a context manager. One
    process writes it at a time. What is written is free of secrets, see
    `dux_graphs.redaction`; sources are kept byte for byte.

    Attributes:
        tail: what stood in the trace after the moment that a resumed run goes on from.
        opened: it was there before.
    """

    def __init__(self, path: Path, made: Sequence[Path] = ()) -> None:
        self.path = path
        self.tail = AlreadyRecorded()
        self.opened = False
        self._made = made
        self._lock = threading.RLock()
        self._listeners: list[Callable[[Event], None]] = []
        self._connection: sqlite3.Connection | None = None
        self._saver: SqliteSaver | None = None
        self._closed = False
        self._chain = PromptChain()
        self._trace = TraceFile(path / "trace.jsonl")

    @classmethod
    def create(cls, path: str | Path, facts: Mapping[str, Any]) -> RunFolder:
        """Make a new run folder, whole or not at all.

        Args:
            path: the folder to make; folders above it are made too. An empty
                folder of that name is used.
            facts: what `run.json` says beside time, versions and platform: at least
                seed, task, model name and arguments.

        Raises:
            RunFolderExists: there is something at `path`; nothing was written.
            RunFolderUnusable: it cannot be made there; nothing was written.
        """
        path = Path(path).expanduser().absolute()
        folder = cls(path, make_folder(path, facts))
        lock(folder._trace.fileno(), path)
        return folder

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """Go on with a run folder that is there; mends a torn last line.

        The run is taken to begin again at its first step; `go_on_from` says otherwise,
        and loading the state of an agent calls it.

        Raises:
            RunFolderUnusable: it is no run folder, its trace is damaged, it cannot be
                written, or another process writes it. Nothing was changed then.
        """
        path = Path(path).expanduser().absolute()
        read_facts(path)
        next(placed(path), None)  # there must be one: opening it would make it
        try:
            own_folder(path / "sources")
            folder = cls(path)
        except OSError as error:
            raise _not_writable(path, error) from None
        try:
            lock(folder._trace.fileno(), path)
            events = list(placed(path))
            for _, event in events:
                whole(event, folder._chain)
            folder.tail, folder.opened = AlreadyRecorded(events), True
            mend(path / "trace.jsonl")
            (path / "sources").mkdir(exist_ok=True)
            remove_parts(path)
            remove_parts(path / "sources")
            forget_questions(path)
        except OSError as error:
            folder.close()
            if isinstance(error, RunFolderUnusable):
                raise
            raise _not_writable(path, error) from None
        return folder

    @property
    def facts(self) -> dict[str, Any]:
        """What `run.json` says."""
        return read_facts(self.path)

    @property
    def position(self) -> int:
        """How far the run has come in the trace, bytes; for `go_on_from`.

        That is its length, and all of it is on the disk then; while a resumed run still
        meets what it had told before, the place of the first of that. What the disk
        refuses now is lost with a warning.
        """
        with self._lock:
            self._trace.sync()
            first = self.tail.first
            if first is not None:
                return first
            return (self.path / "trace.jsonl").stat().st_size

    def go_on_from(self, position: int) -> None:
        """A resumed run begins as it was when the trace was `position` bytes long.

        What it tells again is not written again, see `run_folder.already_recorded`.

        Raises:
            RunFolderUnusable: no line of the trace begins there.
        """
        with self._lock:
            self._trace.sync()
            self.tail = tail_after(self.path, position)

    def known_reply(self, decision: int, prompt: str) -> Event | None:
        """The reply in the trace from a run that died; see `AlreadyRecorded`."""
        with self._lock:
            return self.tail.reply_to(decision, prompt)

    def known(self, decision: int | None, kind: str) -> list[Event]:
        """All events of a kind that belong to this decision, in order."""
        with self._lock:
            return self.tail.of(decision, kind)

    def subscribe(self, listener: Callable[[Event], None]) -> None:
        """Call `listener` with every event from now on, after it was written.

        It is called on the thread that wrote the event, and also for what a resumed
        run tells again. What it raises comes out of the call that told it: of `step`,
        `observe` or `decide`, and ends the run.

        Raises:
            BadArgument: it cannot be called.
        """
        if not callable(listener):
            raise BadArgument(
                f"the listener is a {type(listener).__name__}; a callable of one event "
                f"was wanted; pass a function of it."
            )
        self._listeners.append(listener)

    def event(
        self,
        kind: str,
        *,
        step: int,
        decision: int | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> Event:
        """Append one event and hand it back as readers get it.

        After `close` nothing is written any more. What a resumed run tells again is
        not written again.

        Raises:
            BadArgument: no event is of this kind.
            RunFolderUnusable: the disk refused it, as when it is full.
        """
        check_kind(kind)
        return self._tell(kind, step, decision, plain(data or {}), self._write)

    def loss(self, step: int, loss: float) -> Event:
        """As `event`, for the loss of one step: a third of its cost.

        It is written with the next event, or with a loss about a second later; what
        kills the process before that loses it.

        Args:
            step: steps of the live optimizer taken so far.
            loss: any float; NaN and infinities are recorded as text.

        Raises:
            RunFolderUnusable: as for `event`.
        """
        return self._tell("loss", step, None, {"loss": number(loss)}, self._gather)

    def _tell(
        self,
        kind: str,
        step: int,
        decision: int | None,
        data: dict[str, Any],
        write: Callable[[Event], Event],
    ) -> Event:
        with self._lock:
            event = Event(time.time(), int(step), decision, kind, data)
            if self._closed:
                return event
            if self.tail.take(event) is None:
                self._tell_of_contradiction(event)
                event = write(event)
        for listener in self._listeners:
            listener(event)
        return event

    def _gather(self, event: Event) -> Event:
        self._trace.gather(event)
        return event

    def _tell_of_contradiction(self, event: Event) -> None:
        recorded = self.tail.contradicts(event)
        if recorded is None:
            return
        self.tail.take(recorded)
        before, now = recorded.body, event.body
        if not isinstance(before, ApplyEvent) or not isinstance(now, ApplyEvent):
            return
        said = (
            f"before it was resumed this decision ended as {before.verdict!r}, now as "
            f"{now.verdict!r}; this machine does not repeat itself to the last bit"
        )
        trouble = ErrorEvent(error="contradiction", message=said)
        self._write(replace(event, kind=trouble.kind, data=trouble.entries()))

    def _write(self, event: Event) -> Event:
        """One line, whole or not at all; returns the event as readers get it."""
        line, told = event, self._chain
        if event.kind in ("prompt", "reply"):
            self._chain = copy(told)
        if event.kind == "prompt":
            line = replace(event, data=self._chain.shorten(event.data))
            event = replace(event, data={**line.data, **event.data})
        elif isinstance(event.body, ReplyEvent):
            self._chain.replied(event.body.content)
        try:
            self._trace.append(line, sync=event.kind in _SYNCED)
        except RunFolderUnusable:
            self._chain = told  # no later prompt builds on one that is not there
            raise
        return event

    def keep_source(self, source: str) -> str:
        """Store a source once, byte for byte, and return its digest.

        After `close` nothing is stored any more.

        Raises:
            RunFolderUnusable: the disk refused it.
        """
        with self._lock:
            return digest_of(source) if self._closed else keep(self.path, source)

    def checkpointer(self) -> SqliteSaver:
        """LangGraph's saver over `decisions.sqlite`; closed with the folder.

        Raises:
            MissingExtra: langgraph-checkpoint-sqlite is not installed.
            RunFolderUnusable: the file is no database, or cannot be written.
        """
        require_store()
        from dux_agent.run_folder.decision_store import open_store

        with self._lock:
            if self._saver is None:
                file = self.path / "decisions.sqlite"
                self._connection, self._saver = open_store(file)
            return self._saver

    def close(self) -> None:
        """Write out what is left and let go of every file; may be called twice."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._trace.close()
            if self._connection is not None:
                self._connection.close()

    def discard(self) -> None:
        """Close it and take it away with the folders made for it.

        For a run that did not begin: what `create` left must not look like one.
        """
        self.close()
        shutil.rmtree(self.path, ignore_errors=True)
        remove_empty(self._made)

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _not_writable(path: Path, error: OSError) -> RunFolderUnusable:
    return RunFolderUnusable(
        f"the run folder {path} cannot be written: {error.strerror or error}; "
        f"it must be yours to write; copy it."
    )


def require_store() -> None:
    """Raise MissingExtra where no run folder could keep its decisions."""
    try:
        import langgraph.checkpoint.sqlite  # noqa: F401
    except ImportError:
        raise MissingExtra.of(
            "langgraph-checkpoint-sqlite",
            extra="store",
            purpose="a run folder that keeps its decisions",
        ) from None
