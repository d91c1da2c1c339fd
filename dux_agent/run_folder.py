"""The folder that records one run: what was run, what happened, every source.

run.json            what was run: versions, seed, task, model name, arguments
trace.jsonl         what happened, see `dux_agent.trace`
decisions.sqlite    LangGraph's checkpoints, one thread a decision
sources/<digest>.py every source, named by the SHA-256 of its bytes
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dux_agent.errors import MissingExtra, RunFolderExists, RunFolderUnusable
from dux_agent.trace import Event, check_kind, plain
from dux_sandbox.findings import digest_of

if TYPE_CHECKING:
    import sqlite3

    from langgraph.checkpoint.sqlite import SqliteSaver

FORMAT = 1

# What a decision cannot do without after a power cut; the others reach the disk with
# the next of these, or when the system likes.
_SYNCED = {"reply", "apply", "rollback", "error"}

_DIGEST = re.compile(r"[0-9a-f]{64}")

_PACKAGES = (
    "dux-agent",
    "torch",
    "langgraph",
    "langchain-core",
    "langchain-openai",
    "RestrictedPython",
)


class RunFolder:
    """A run folder that is being written; safe to use from several threads.

    Made by `create` (a new one) or `open` (one that is there); a context manager.
    What is written is free of secrets, see `dux_agent.redaction`; sources are kept
    byte for byte.
    """

    def __init__(self, path: Path, made: Sequence[Path] = ()) -> None:
        self.path = path
        self._made = made
        self._lock = threading.RLock()
        self._listeners: list[Callable[[Event], None]] = []
        self._connection: sqlite3.Connection | None = None
        self._closed = False
        # Unbuffered: one write a line, so that a line is torn only by a dying system.
        self._trace = (path / "trace.jsonl").open("ab", buffering=0)

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
        _refuse_taken(path)
        made: list[Path] = []
        part: Path | None = None
        try:
            made = _make_parents(path.parent)
            part = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
            part.chmod(0o755)
            (part / "sources").mkdir()
            (part / "trace.jsonl").touch()
            record = plain({**_surroundings(), **facts})
            (part / "run.json").write_text(
                json.dumps(record, indent=2, allow_nan=False) + "\n", encoding="ascii"
            )
            if path.is_dir():
                path.rmdir()
            part.rename(path)
        except OSError as error:
            if part is not None:
                shutil.rmtree(part, ignore_errors=True)
            _remove_empty(made)
            # Somebody else may have taken the name between the look and the rename.
            _refuse_taken(path)
            raise RunFolderUnusable(
                f"the run folder {path} cannot be made: {error.strerror or error}; "
                f"a folder that may be written was wanted; name another with "
                f"--run-dir (run_dir=... in code)."
            ) from None
        return cls(path, made)

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """Go on with a run folder that is there; mends a torn last line.

        Raises:
            RunFolderUnusable: it is no run folder, or cannot be written.
        """
        path = Path(path).expanduser().absolute()
        read_facts(path)
        try:
            _mend(path / "trace.jsonl")
            (path / "sources").mkdir(exist_ok=True)
            return cls(path)
        except OSError as error:
            raise RunFolderUnusable(
                f"the run folder {path} cannot be written: "
                f"{error.strerror or error}; it must be yours to write; copy it."
            ) from None

    @property
    def facts(self) -> dict[str, Any]:
        """What `run.json` says."""
        return read_facts(self.path)

    def subscribe(self, listener: Callable[[Event], None]) -> None:
        """Call `listener` with every event from now on, after it was written.

        It is called on the thread that wrote the event.
        """
        self._listeners.append(listener)

    def event(
        self,
        kind: str,
        *,
        step: int,
        decision: int | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> Event:
        """Append one event and hand it back as it was written.

        After `close` nothing is written any more.

        Raises:
            BadArgument: no event is of this kind.
            RunFolderUnusable: the disk refused it, as when it is full.
        """
        check_kind(kind)
        with self._lock:
            event = Event(time.time(), int(step), decision, kind, plain(data or {}))
            if self._closed:
                return event
            try:
                self._append(event.line().encode("ascii") + b"\n")
                if kind in _SYNCED:
                    os.fsync(self._trace.fileno())
            except OSError as error:
                raise RunFolderUnusable(
                    f"the trace in {self.path} cannot be written: "
                    f"{error.strerror or error}; make room on the disk."
                ) from None
        for listener in self._listeners:
            listener(event)
        return event

    def keep_source(self, source: str) -> str:
        """Store a source once, byte for byte, and return its digest."""
        digest = digest_of(source)
        target = self.path / "sources" / f"{digest}.py"
        with self._lock:
            if self._closed or target.exists():
                return digest
            part = target.with_suffix(".part")
            try:
                part.write_bytes(source.encode("utf-8", "surrogatepass"))
                part.replace(target)
            except OSError as error:
                raise RunFolderUnusable(
                    f"the source {digest[:12]} cannot be kept in {self.path}: "
                    f"{error.strerror or error}; make room on the disk."
                ) from None
        return digest

    def checkpointer(self) -> SqliteSaver:
        """LangGraph's saver over `decisions.sqlite`; closed with the folder.

        Raises:
            MissingExtra: langgraph-checkpoint-sqlite is not installed.
        """
        import sqlite3

        try:
            from langgraph.checkpoint.sqlite import SqliteSaver
        except ImportError:
            raise MissingExtra.of(
                "langgraph-checkpoint-sqlite",
                extra="store",
                purpose="a run folder that keeps its decisions",
            ) from None
        with self._lock:
            if self._connection is None:
                self._connection = sqlite3.connect(
                    self.path / "decisions.sqlite", check_same_thread=False
                )
            saver = SqliteSaver(self._connection)
            saver.setup()
            # Measured: 1.7 ms instead of 30 to 40 ms a decision on a busy disk. A
            # power cut may lose the last checkpoint, never damage the file.
            self._connection.execute("PRAGMA synchronous=NORMAL")
            return saver

    def close(self) -> None:
        """Write out what is left and let go of every file; may be called twice."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            with suppress(OSError):
                os.fsync(self._trace.fileno())
            self._trace.close()
            if self._connection is not None:
                self._connection.close()

    def discard(self) -> None:
        """Close it and take it away with the folders made for it.

        For a run that did not begin: what `create` left must not look like one.
        """
        self.close()
        shutil.rmtree(self.path, ignore_errors=True)
        _remove_empty(self._made)

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _append(self, line: bytes) -> None:
        # An unbuffered write may take only a part, on a full disk or at a signal.
        while line:
            line = line[self._trace.write(line) :]


def read_facts(path: str | Path) -> dict[str, Any]:
    """What the `run.json` of a run folder says.

    Raises:
        RunFolderUnusable: it is no run folder, or of a newer format.
    """
    path = Path(path)
    try:
        facts = json.loads((path / "run.json").read_bytes())
    except (OSError, ValueError):
        raise RunFolderUnusable(
            f"{path} is no run folder: it holds no readable run.json; "
            f"name a folder that `dux run` printed."
        ) from None
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise RunFolderUnusable(
            f"{path} is a run folder of another format; format {FORMAT} was wanted; "
            f"read it with the dux-agent that wrote it."
        )
    return facts


def read_kept_source(path: str | Path, digest: str) -> str | None:
    """The source kept under a digest; None where there is none.

    Nothing outside the folder's sources is ever read, whatever the digest says, and
    nothing is handed out that does not have this digest.
    """
    if not _DIGEST.fullmatch(digest):
        return None
    try:
        content = (Path(path) / "sources" / f"{digest}.py").read_bytes()
        source = content.decode("utf-8", "surrogatepass")
    except (OSError, UnicodeDecodeError):
        return None
    return source if digest_of(source) == digest else None


def _surroundings() -> dict[str, Any]:
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return {
        "format": FORMAT,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "versions": versions,
        "platform": platform.platform(),
    }


def _refuse_taken(path: Path) -> None:
    try:
        taken = path.is_symlink() or (
            any(path.iterdir()) if path.is_dir() else path.exists()
        )
    except OSError:
        return  # making it will say why
    if taken:
        raise RunFolderExists(
            f"the run folder {path} exists and is not empty; a new one was wanted; "
            f"name another, or remove it first."
        )


def _make_parents(folder: Path) -> list[Path]:
    missing: list[Path] = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    made: list[Path] = []
    for folder in reversed(missing):
        try:
            folder.mkdir()
        except FileExistsError:
            continue  # another run made it in the meantime
        except OSError:
            _remove_empty(made)
            raise
        made.append(folder)
    return made


def _remove_empty(folders: Sequence[Path]) -> None:
    for folder in reversed(folders):
        with suppress(OSError):
            folder.rmdir()


def _mend(trace: Path) -> None:
    """Cut a torn last line off, or end it where only its line end is missing."""
    trace.touch()
    with trace.open("rb+") as held:
        content = held.read()
        whole, _, rest = content.rpartition(b"\n")
        if not rest:
            return
        try:
            Event.from_line(rest.decode("utf-8"))
        except (ValueError, TypeError):
            held.truncate(len(content) - len(rest))
        else:
            held.write(b"\n")
