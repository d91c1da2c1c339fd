"""Calls an objective: what came of a configuration, also when it fails or hangs."""

import math
import multiprocessing
import os
import pickle
import re
import reprlib
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from typing import Any, Protocol, cast

from dux_agent.errors import BadArgument
from dux_agent.run_folder.trace import plain
from dux_agent.showing import one_line

Objective = Callable[[dict[str, Any]], Any]
_ERROR_CHARACTERS = 300
_BEGUN, _SECONDS_TO_BEGIN = b"begun", 60.0
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")  # which differs each time
# Libraries that prepare a fork refuse one that another thread begins meanwhile.
_forking = threading.RLock()  # a child is forked by the thread that holds it
_shown = reprlib.Repr()  # of anything, however long it is or wrong its own text
_shown.maxother = _shown.maxstring = 60


@dataclass(frozen=True)
class Outcome:
    """What one evaluation gave.

    Attributes:
        value: a finite number; None where it failed.
        report: what else the objective gave.
        error: why it failed, one line.
        seconds: that it took.
    """

    value: float | None
    report: Any = None
    error: str = ""
    seconds: float = 0.0


def evaluate(
    objective: Objective,
    config: Mapping[str, Any],
    *,
    seconds: float | None = None,
    most_bytes: int | None = None,
    apart: bool = False,
) -> Outcome:
    """Call an objective once; only Ctrl-C comes out of it.

    Args:
        objective: a configuration to a number, or to `{"value", "report"}`; one that
            holds the limits itself has `evaluate_within(config, seconds, most_bytes)`,
            which is called instead, here.
        config: handed over as a dict of its own.
        seconds: it is ended after them and has failed.
        most_bytes: of memory beyond what this process has; more has failed.
        apart: in a child process, as it is where there is a limit.

    Raises:
        BadArgument: it was to be in a child, and this system forks none.
        OSError: this system has no room for a child now.
    """
    return begun(
        objective, config, seconds=seconds, most_bytes=most_bytes, apart=apart
    ).outcome()


def begun(
    objective: Objective,
    config: Mapping[str, Any],
    *,
    seconds: float | None = None,
    most_bytes: int | None = None,
    apart: bool = False,
) -> "Evaluation":
    """An evaluation whose child process, where it has one, is forked by now.

    A fork lets go of what every other thread had for itself, and some of that waits for
    ever then (what DTensor keeps of a gloo group): call it in the thread that trains.

    Args, raises: as `evaluate`.
    """
    within = getattr(objective, "evaluate_within", None)
    if within is not None:

        def bounded(given: dict[str, Any]) -> Any:
            return within(given, seconds, most_bytes)

        return _Here(bounded, dict(config))
    if seconds is None and most_bytes is None and not apart:
        return _Here(objective, dict(config))
    if not hasattr(os, "fork"):
        raise BadArgument(
            "a limit of time or memory, or several workers, were given; a system that "
            "forks processes was wanted; leave them out here."
        )
    return _Apart(objective, dict(config), seconds, most_bytes)


class Evaluation(Protocol):
    """One call of an objective."""

    def outcome(self) -> Outcome:
        """Wait for what comes of it; to be called once."""

    def end(self) -> None:
        """End it, and whatever it has started, also while a thread waits for it."""


@dataclass(frozen=True)
class _Here:
    """By whoever waits for it."""

    objective: Objective
    config: dict[str, Any]

    def outcome(self) -> Outcome:
        return _called(self.objective, self.config)

    def end(self) -> None:
        """Nothing has begun."""


class _Apart:
    """In a child process, forked here and now."""

    def __init__(
        self,
        objective: Objective,
        config: dict[str, Any],
        seconds: float | None,
        most_bytes: int | None,
    ) -> None:
        self._seconds, self._ended = seconds, False
        fork = multiprocessing.get_context("fork")
        self._ours, theirs = fork.Pipe(duplex=False)

        def work() -> None:
            os.setsid()  # a group of its own, that ends with it
            theirs.send_bytes(_BEGUN)
            if most_bytes is not None:
                import resource  # not on every system, and only here needed

                most = address_space() + most_bytes
                resource.setrlimit(resource.RLIMIT_AS, (most, most))
            outcome = _called(objective, config)
            try:
                theirs.send_bytes(_packed(outcome))
            except (OSError, MemoryError):
                sys.exit(1)  # it closed what is not its own, or left no memory

        self._child = fork.Process(target=work, daemon=True)
        try:
            with theirs, _forking, warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of threads here
                self._child.start()
        except BaseException:
            self._ours.close()
            raise
        self._pid = cast(int, self._child.pid)
        self._began = time.monotonic()  # a fork takes its time where memory is large

    def outcome(self) -> Outcome:
        limit = math.inf if self._seconds is None else self._seconds
        error = f"it took more than {limit:g} s"
        try:
            heard = self._heard(min(limit, _SECONDS_TO_BEGIN))
            if heard == _BEGUN:
                heard = self._heard(self._seconds)
            elif limit > _SECONDS_TO_BEGIN:
                error = (
                    f"its process did not begin within {_SECONDS_TO_BEGIN:g} s: what "
                    f"other threads of this one hold did not outlive its fork"
                )
        finally:
            self.end()
            self._ours.close()
        if heard:
            return _unpacked(heard, self._began)
        if heard is not None:
            error = f"its process ended with exit code {self._child.exitcode}"
        return Outcome(None, error=error, seconds=_since(self._began))

    def _heard(self, seconds: float | None) -> bytes | None:
        """What the child says next; b"" where it ended before, None where it is late.

        Its end is waited for by itself: a process that it started, or one forked beside
        it, holds the pipe open; one that closes what is not its own ends long after.
        """
        ended = self._child.sentinel
        with suppress(AttributeError, OSError):  # not every system has it
            ended = os.pidfd_open(self._pid)
        try:
            if not wait([self._ours, ended], self._left(seconds)):
                return None
            if self._ours.poll():
                with suppress(EOFError, OSError):
                    return bytes(self._ours.recv_bytes())
                return b"" if wait([ended], self._left(seconds)) else None
            return b""
        finally:
            if ended != self._child.sentinel:
                os.close(ended)

    def _left(self, seconds: float | None) -> float | None:
        """Of so many seconds since it began."""
        return None if seconds is None else max(0.0, seconds - _since(self._began))

    def end(self) -> None:
        if not self._ended:  # or its number may be another's by now
            with suppress(OSError):  # it has not come so far as to have a group
                os.killpg(self._pid, signal.SIGKILL)
            self._child.kill()
            self._child.join()
            self._ended = True


def _packed(outcome: Outcome) -> bytes:
    try:
        return pickle.dumps(outcome)
    except MemoryError:
        raise
    except Exception:  # whatever a report's classes raise: it is kept as a trace has it
        return pickle.dumps(replace(outcome, report=plain(outcome.report)))


def _unpacked(heard: bytes, began: float) -> Outcome:
    try:
        outcome = pickle.loads(heard)
        assert isinstance(outcome, Outcome)
    except Exception as error:  # whatever a report's classes raise
        told = f"its report cannot be read here: {said(error)}"
        return Outcome(None, error=told, seconds=_since(began))
    return outcome


def _called(objective: Objective, config: dict[str, Any]) -> Outcome:
    began = time.monotonic()
    try:
        return replace(outcome_of(objective(config)), seconds=_since(began))
    except KeyboardInterrupt:
        raise
    # Whatever the objective raises costs an evaluation, and the study goes on.
    except BaseException as error:
        return Outcome(None, error=said(error), seconds=_since(began))


def said(error: BaseException) -> str:
    """An error in one line."""
    kind = type(error).__name__
    try:
        text = str(error)
    except Exception:  # whatever the text of somebody's own class raises
        text = ""
    return one_line(f"{kind}: {text}" if text else kind, _ERROR_CHARACTERS)


def outcome_of(answer: Any) -> Outcome:
    """What an objective gave, as an outcome: a number, or `{"value", "report"}`."""
    report = None
    if isinstance(answer, Mapping):
        if "value" not in answer:
            return Outcome(None, error='it gave a dict without "value"')
        answer, report = answer["value"], answer.get("report")
    try:
        value = math.nan if _is_no_number(answer) else float(answer)
    except Exception:  # whatever the classes of an objective raise
        value = math.nan
    if not math.isfinite(value):
        told = _ADDRESS.sub("", one_line(_shown.repr(answer), 80))
        return Outcome(None, report, f"it gave {told}, and no finite number")
    return Outcome(value, report)


def _is_no_number(answer: Any) -> bool:
    """Whether it is a truth or a text, which `float` would take too."""
    kind = str(getattr(answer, "dtype", "")).rpartition(".")[2]
    return isinstance(answer, bool | str | bytes | bytearray) or kind == "bool"


def _since(began: float) -> float:
    return time.monotonic() - began


def address_space() -> int:
    """Bytes of address space that this process has, where the system says so."""
    with suppress(OSError), open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    return 0
