"""What left generated code as an exception: whose it is, and what is said of it."""

import dis
from types import TracebackType

from dux_sandbox.findings import Finding, RuleFailed, printable
from dux_sandbox.runtime.context import Runaway, TurnsUsedUp
from dux_sandbox.runtime.text import plain

_MESSAGE_CHARACTERS = 300
_HOLDS = "make the step hold for every parameter shape, dtype and missing gradient"
_LEFT_OPEN = "write what is left open there"


def is_the_rules(error: BaseException) -> bool:
    """Whether generated code is to blame, rather than a signal that met it.

    An Exception always counts as the rule's. A KeyboardInterrupt or SystemExit that a
    signal's handler raised belongs to the user, though a rule's frame was on top: there
    no `raise` stood.
    """
    if isinstance(error, (Exception, Runaway)):
        return True
    last = _innermost(error.__traceback__)
    if last is None or not _is_of_a_rule(last):
        return False
    operation = last.tb_frame.f_code.co_code[last.tb_lasti]
    return dis.opname[operation] == "RAISE_VARARGS"


def failure(error: BaseException, rule: str = "raised") -> RuleFailed:
    """An exception that left generated code, as a finding with its line.

    Only the type's name and plain text are used: the message may be anything.
    """
    line = None
    trace = error.__traceback__
    while trace is not None:
        if _is_of_a_rule(trace):
            line = trace.tb_lineno
        trace = trace.tb_next
    if used_up_its_turns(error):
        return RuleFailed(turns_used_up(line))
    return RuleFailed(
        Finding(
            rule,
            line,
            f"{type(error).__name__}: {printable(plain(error)[:_MESSAGE_CHARACTERS])}",
            _LEFT_OPEN if isinstance(error, NotImplementedError) else _HOLDS,
        )
    )


def used_up_its_turns(error: BaseException) -> bool:
    """Whether a limit of `while` loops ended generated code."""
    return isinstance(error, Runaway | TurnsUsedUp)


def turns_used_up(line: int | None) -> Finding:
    """The finding for `while` loops that took too many turns; no clock is in it."""
    return Finding(
        "turns",
        line,
        str(TurnsUsedUp()),
        "write for _ in range(a_small_number): in place of the while",
    )


def _innermost(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace


def _is_of_a_rule(trace: TracebackType) -> bool:
    return trace.tb_frame.f_code.co_filename.startswith("<rule")
