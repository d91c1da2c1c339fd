"""Calls an objective: what came of a configuration, also when it fails or hangs."""

from __future__ import annotations

import math
import multiprocessing
import os
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dux_agent.errors import BadArgument
from dux_agent.showing import one_line

Objective = Callable[[dict[str, Any]], Any]
_ERROR_CHARACTERS = 300


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
        if most_bytes is not None:
            import resource  # not on every system, and only here needed

            most = _address_space() + most_bytes
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
        theirs.send(_called(objective, dict(config), began))

    child = fork.Process(target=work, daemon=True)
    with warnings.catch_warnings():
        # Python warns of any fork beside threads; this child runs the objective alone.
        warnings.simplefilter("ignore", DeprecationWarning)
        child.start()
    theirs.close()
    try:
        return _received(ours, child, seconds, began)
    finally:
        child.kill()
        child.join()
        ours.close()


def _received(ours: Any, child: Any, seconds: float | None, began: float) -> Outcome:
    if not ours.poll(seconds):
        return Outcome(
            None, error=f"it took more than {seconds:g} s", seconds=_since(began)
        )
    try:
        outcome = ours.recv()
    except EOFError:
        child.join()
        error = f"its process ended with exit code {child.exitcode}"
        return Outcome(None, error=error, seconds=_since(began))
    assert isinstance(outcome, Outcome)
    return outcome


def _called(objective: Objective, config: dict[str, Any], began: float) -> Outcome:
    try:
        answer = objective(config)
    except KeyboardInterrupt:
        raise
    # Whatever the objective raises costs an evaluation, and the study goes on.
    except (Exception, SystemExit) as error:
        said = (
            f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        )
        told = one_line(said, _ERROR_CHARACTERS)
        return Outcome(None, error=told, seconds=_since(began))
    return outcome_of(answer, _since(began))


def outcome_of(answer: Any, seconds: float = 0.0) -> Outcome:
    """What an objective gave, as an outcome: a number, or `{"value", "report"}`."""
    report = None
    if isinstance(answer, Mapping):
        if "value" not in answer:
            return Outcome(
                None, error='it gave a dict without "value"', seconds=seconds
            )
        answer, report = answer["value"], answer.get("report")
    try:
        value = float(answer) if not isinstance(answer, bool | str) else math.nan
    except (TypeError, ValueError, OverflowError, RuntimeError):
        value = math.nan
    if not math.isfinite(value):
        told = one_line(repr(answer), 60)
        error = f"it gave {told}, and no finite number"
        return Outcome(None, report, error, seconds)
    return Outcome(value, report, "", seconds)


def _since(began: float) -> float:
    return time.monotonic() - began


def _address_space() -> int:
    """Bytes of address space that this process has, where the system says so."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            pages = int(file.read().split()[0])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
