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
from typing import Any

from dux_agent.errors import BadArgument
from dux_agent.run_folder.trace import plain
from dux_agent.showing import one_line

Objective = Callable[[dict[str, Any]], Any]
_ERROR_CHARACTERS = 300
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
    """
    began = time.monotonic()
    within = getattr(objective, "evaluate_within", None)
    if within is not None:

        def bounded(given: dict[str, Any]) -> Any:
            return within(given, seconds, most_bytes)

        return _called(bounded, dict(config), began)
    if seconds is None and most_bytes is None and not apart:
        return _called(objective, dict(config), began)
    if not hasattr(os, "fork"):
        raise BadArgument(
            "a limit of time or memory, or several workers, were given; a system that "
            "forks processes was wanted; leave them out here."
        )
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe(duplex=False)

    def work() -> None:
        os.setsid()  # a group of its own, that ends with it
        if most_bytes is not None:
            import resource  # not on every system, and only here needed

            most = address_space() + most_bytes
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
        outcome = _called(objective, dict(config), began)
        try:
            theirs.send_bytes(_packed(outcome))
        except (OSError, MemoryError):
            sys.exit(1)  # it closed what is not its own, or left no memory to say it

    child = fork.Process(target=work, daemon=True)
    with _forking, warnings.catch_warnings():
        # Python warns of any fork beside threads; this child runs the objective alone.
        warnings.simplefilter("ignore", DeprecationWarning)
        child.start()
    theirs.close()
    try:
        heard = _heard(ours, child, seconds)
    finally:
        _end(child)
        ours.close()
    if heard is None:
        error = f"it took more than {seconds:g} s"
    elif not heard:
        error = f"its process ended with exit code {child.exitcode}"
    else:
        return _unpacked(heard, began)
    return Outcome(None, error=error, seconds=_since(began))


def _heard(ours: Any, child: Any, seconds: float | None) -> bytes | None:
    """What the child says; b"" where it ended before, None where it is late.

    Its end is waited for by itself, since a process that it started, or one that is
    forked beside it, holds its end of the pipe open, and one that closes what is not
    its own ends long after the pipe does.
    """
    began = time.monotonic()
    ended = child.sentinel
    with suppress(AttributeError, OSError):  # not every system has it
        ended = os.pidfd_open(child.pid)
    try:
        if not wait([ours, ended], seconds):
            return None
        if ours.poll():
            with suppress(EOFError, OSError):
                return bytes(ours.recv_bytes())
            left = None if seconds is None else max(0.0, seconds - _since(began))
            return b"" if wait([ended], left) else None
        return b""
    finally:
        if ended != child.sentinel:
            os.close(ended)


def _end(child: Any) -> None:
    """End a child, and whatever it has started."""
    with suppress(OSError):  # it has not come so far as to have a group
        os.killpg(child.pid, signal.SIGKILL)
    child.kill()
    child.join()


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


def _called(objective: Objective, config: dict[str, Any], began: float) -> Outcome:
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
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            pages = int(file.read().split()[0])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
