"""The trace of a run: events, one strict JSON object a line, and how to read them.

The file only ever grows, a whole line at a time, so it is valid after a crash but
for a torn last line, which the reader passes over.

`docs/traces.md` says what `data` holds for each kind; `dux_agent.run_folder.events` has
a class for each, of which the JSON Schema in `trace_schema.json` is made.
"""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import ValidationError

from dux_agent.errors import BadArgument, RunFolderUnusable
from dux_agent.run_folder.events import KINDS, Body, body_of
from dux_agent.run_folder.own_files import open_own
from dux_agent.run_folder.prompt_chain import PromptChain
from dux_graphs.events import PromptEvent, ReplyEvent
from dux_graphs.plain_json import MOST_BYTES, NoPlainJson, read_json
from dux_graphs.read_back import fault_in
from dux_graphs.redaction import REDACTED, is_secret_field, redactor

# Deeper than anything we write; a cycle ends here instead of in a RecursionError.
_DEEPEST = 24
# Python refuses to turn an int of more than 4300 digits into text; this is below.
_WIDEST_INTEGER_BITS = 10_000
# More steps or decisions than any run has; numbers of any width cost any time.
_BEYOND = 2**63
# Of one line, in the order in which it has them.
_ENTRIES = ("time", "step", "decision", "kind", "data")
_JSON = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


@dataclass(frozen=True, repr=False)
class Event:
    """One thing that happened in a run.

    Attributes:
        time: seconds since 1970-01-01 UTC.
        step: steps of the live optimizer taken when it was told; what belongs to the
            stages of a decision has the step at which the decision was asked.
        decision: 1-based number of the decision it belongs to, or None.
        kind: one of `KINDS`; a newer version may have written others.
        data: the entries of `body` as JSON holds them.
    """

    time: float
    step: int
    decision: int | None
    kind: str
    data: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        # The data may hold a whole prompt.
        return (
            f"Event(time={self.time!r}, step={self.step!r}, decision="
            f"{self.decision!r}, kind={self.kind!r}, data={reprlib.repr(self.data)})"
        )

    @cached_property
    def body(self) -> Body | None:
        """The data as the class of their kind; None where they are not of it."""
        try:
            return body_of(self.kind, self.data)
        except ValidationError:
            return None

    @property
    def fault(self) -> str:
        """What is wrong where there is no `body`, in one sentence; else ""."""
        try:
            body_of(self.kind, self.data)
        except ValidationError as error:
            return fault_in(error)
        return ""

    def line(self) -> str:
        """The event as one line of strict JSON without its line end, ASCII only.

        Raises:
            ValueError: `data` hold NaN or an infinity; `plain` makes them sound.
            TypeError: `data` hold what JSON cannot; the same.
        """
        return _JSON.encode({name: getattr(self, name) for name in _ENTRIES})

    @classmethod
    def from_line(cls, line: str) -> Event:
        """The event of one line.

        Raises:
            ValueError: the line is no event; its message says what is wrong.
        """
        try:
            return cls._of(read_json(line))
        except (OverflowError, NoPlainJson) as error:
            raise ValueError(f"it holds what no event holds: {error}") from None

    @classmethod
    def _of(cls, record: Any) -> Event:
        if not isinstance(record, dict):
            raise ValueError("it is no JSON object")
        missing = {*_ENTRIES} - record.keys()
        if missing:
            raise ValueError(f"it lacks {', '.join(sorted(missing))}")
        if not isinstance(record["data"], dict):
            raise ValueError("its data are no JSON object")
        decision = record["decision"]
        if decision is not None and type(decision) is not int:
            raise ValueError("its decision is no number")
        moment, step = float(record["time"]), int(record["step"])
        if not math.isfinite(moment) or max(abs(step), abs(decision or 0)) >= _BEYOND:
            raise ValueError("it holds a number that no event holds")
        return cls(moment, step, decision, str(record["kind"]), record["data"])


def check_kind(kind: str) -> None:
    """Raise `BadArgument` when no event is of this kind."""
    if kind not in KINDS:
        raise BadArgument(
            f"an event of kind {kind!r} was given; it must be one of "
            f"{', '.join(KINDS)}; pick one of them."
        )


def plain(value: Any) -> Any:
    """`value` as strict JSON data: what can be written anywhere and holds no secret.

    Numbers that JSON lacks become the strings "NaN", "Infinity" and "-Infinity",
    which Python's `float` and JavaScript's `Number` both read. Lone surrogates
    become U+FFFD, keys become text, tuples and sets become lists, scalars of numpy
    and torch become numbers, anything else the name of its type in angle brackets.
    Never raises.

    >>> plain({"loss": float("nan"), 3: ("a", {1})})
    {'loss': 'NaN', '3': ['a', [1]]}
    """
    redact: Callable[[str], str] | None = None

    def clean(text: str) -> str:
        # The environment is read at the first text: an event of numbers alone, as
        # most are, costs 20 instead of 400 microseconds.
        nonlocal redact
        redact = redact or redactor()
        return redact(_sound(text))

    return _plain(value, clean, 0)


def _plain(value: Any, clean: Callable[[str], str], depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, int):
        if value.bit_length() > _WIDEST_INTEGER_BITS:
            return f"<int of {value.bit_length()} bits>"
        return int(value)
    if isinstance(value, float):
        return number(value)
    if depth >= _DEEPEST:
        return "<too deep>"
    if isinstance(value, Mapping):
        return {
            _key(key, clean): (
                REDACTED
                if isinstance(key, str) and is_secret_field(key) and _holds_text(part)
                else _plain(part, clean, depth + 1)
            )
            for key, part in value.items()
        }
    if isinstance(value, list | tuple):
        return [_plain(part, clean, depth + 1) for part in value]
    if isinstance(value, set | frozenset):
        return [_plain(part, clean, depth + 1) for part in sorted(value, key=repr)]
    if isinstance(value, Path):
        return clean(str(value))
    scalar = _scalar(value)
    if scalar is not None:
        return _plain(scalar, clean, depth + 1)
    return f"<{type(value).__name__}>"


def _holds_text(value: Any) -> bool:
    """A secret is text; `cls_token` may as well be the shape of a parameter."""
    if isinstance(value, Mapping):
        return any(map(_holds_text, value.values()))
    if isinstance(value, list | tuple | set | frozenset):
        return any(map(_holds_text, value))
    return bool(value) and not isinstance(value, int | float)


def number(value: float) -> float | str:
    """A float as JSON can hold it: itself, or "NaN", "Infinity", "-Infinity"."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return float(value)


def _key(key: Any, clean: Callable[[str], str]) -> str:
    text = key if isinstance(key, str) else repr(key)
    # The names of our own fields hold no secret and need no look at the environment.
    if len(text) <= 24 and text.isascii() and text.islower() and text.isidentifier():
        return text
    return clean(text)


def _sound(text: str) -> str:
    # Joins surrogate pairs, replaces lone surrogates: both are legal in a Python
    # string, only the first in UTF-8.
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _scalar(value: Any) -> bool | int | float | None:
    # By what it offers and not by its type: this module imports neither numpy nor
    # torch, so that reading a trace is quick.
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "ndim", 1) == 0:
        scalar = item()
        if isinstance(scalar, bool | int | float):
            return scalar
    return None


def read(path: str | Path) -> list[Event]:
    """The events of a run folder, or of a `trace.jsonl`, in the order written.

    A last line that a crash tore is passed over. Prompts are whole, see
    `dux_agent.run_folder.prompt_chain`.

    Raises:
        RunFolderUnusable: there is no trace, or a line before the last is no event.
    """
    return list(iterate(path))


def iterate(path: str | Path) -> Iterator[Event]:
    """As `read`, one event at a time, for traces that do not fit into memory."""
    chain = PromptChain()
    for _, event in placed(path):
        yield whole(event, chain)


def whole(event: Event, chain: PromptChain) -> Event:
    """An event of the file as readers get it; `chain` has seen all before it."""
    body = event.body
    if isinstance(body, ReplyEvent):
        chain.replied(body.content)
    if not isinstance(body, PromptEvent):
        return event
    return replace(event, data=chain.whole(event.data))


def placed(path: str | Path) -> Iterator[tuple[int, Event]]:
    """The events as they stand in the file, each with the byte its line begins at.

    Raises:
        RunFolderUnusable: as for `read`.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "trace.jsonl"
    try:
        with BufferedReader(open_own(path)) as lines:
            torn, begin = "", 0
            for position, raw in enumerate(_lines(lines), start=1):
                if torn:
                    raise _damaged(path, position - 1, torn)
                if len(raw) > MOST_BYTES:
                    raise _damaged(path, position, f"it has over {MOST_BYTES} bytes")
                place, begin = begin, begin + len(raw)
                if not raw.strip():
                    continue
                try:
                    yield place, Event.from_line(raw.decode("utf-8"))
                except (ValueError, TypeError) as error:
                    torn = str(error) or type(error).__name__
    except FileNotFoundError:
        raise RunFolderUnusable(
            f"there is no trace at {path}; a run folder was wanted; "
            f"name a folder that `dux run` or `dux tune` printed."
        ) from None
    except RunFolderUnusable:
        raise
    except OSError as error:
        raise RunFolderUnusable(
            f"{path} cannot be read: {error.strerror or error}; a run folder was "
            f"wanted; name a folder that `dux run` or `dux tune` printed."
        ) from None


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Line by line; of one that is too long for an event only the beginning."""
    while raw := file.readline(MOST_BYTES + 1):
        yield raw


def _damaged(path: Path, line: int, why: str) -> RunFolderUnusable:
    return RunFolderUnusable(
        f"{path} is damaged in line {line}: {why}; "
        f"every line but the last must be an event; restore the file."
    )


def schema() -> dict[str, Any]:
    """See `dux_agent.run_folder.trace_schema.schema`."""
    # Most who read a trace need none, and making it takes as long as an import.
    from dux_agent.run_folder import trace_schema

    return trace_schema.schema()
