"""Why a rule is not recorded, said so that a language model can mend it."""

from __future__ import annotations

from dux_sandbox.findings import Finding, RuleFailed, printable
from dux_sandbox.recorded.json_form import ProgramRefused
from dux_sandbox.recorded.tape import Unrecordable

FAULTS = (
    *(Unrecordable, ProgramRefused, ArithmeticError, ValueError, RuntimeError),
    *(TypeError, LookupError),
)
"""After which a step is taken isolated: not recorded, or one that raises there too."""


def in_the_way(error: BaseException) -> Finding:
    """Why a rule is not recorded, as a finding."""
    if isinstance(error, RuleFailed):
        return error.finding
    if isinstance(error, Unrecordable):
        message = f"it cannot be recorded: this line {error.message}"
        if error.line is None:
            message = f"it cannot be recorded: it {error.message}"
        return Finding("recording", error.line, message, INSTEAD)
    text = printable(str(error)[:300])
    return Finding("recording", None, f"it cannot be recorded: {text}", INSTEAD)


INSTEAD = (
    "keep to operations on whole tensors, and to numbers that are computed of options, "
    "step counts and float(tensor)"
)
"""What a finding about recording says to write instead."""
