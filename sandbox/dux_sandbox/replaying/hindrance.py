"""Why a rule is not recorded, said so that a language model can mend it."""

import re
from collections.abc import Collection

from dux_sandbox.findings import Finding, RuleFailed, printable
from dux_sandbox.recorded.json_form import ProgramRefused
from dux_sandbox.recorded.program import Guard, Place
from dux_sandbox.recorded.tape import Unrecordable

FAULTS = (
    *(Unrecordable, ProgramRefused, ArithmeticError, ValueError, RuntimeError),
    *(TypeError, LookupError),
)
"""After which a step is taken isolated: not recorded, or one that raises there too."""


def in_the_way(error: BaseException, source: str) -> Finding:
    """Why a rule is not recorded, as a finding on its source."""
    if isinstance(error, RuleFailed):
        return error.finding
    if isinstance(error, Unrecordable):
        message = f"it cannot be recorded: this line {error.message}"
        line = error.line
        if line is None:
            message = f"it cannot be recorded: it {error.message}"
            line = line_of_name(source, error.message)
        return Finding("recording", line, message, INSTEAD)
    text = printable(str(error)[:300])
    return Finding("recording", None, f"it cannot be recorded: {text}", INSTEAD)


def changing(
    failed: Guard | None, before: Collection[Place], now: Collection[Place]
) -> Unrecordable:
    """Why another program is wanted at nearly every step.

    Args:
        failed: the guard that did not hold, if any.
        before, now: what the rule kept before its last step, and by now.
    """
    if failed is not None:
        message = (
            "is a branch that goes another way at nearly every step; min(), max() "
            "or torch.where do without one"
        )
        return Unrecordable(message, failed.line)
    for place in (each for each in now if each not in before):
        name = f"self.{place[1]}"
        if place[0] == "state":
            name = f"self.state[p]['{place[2]}']"
        return Unrecordable(f"keeps something more at every step, in {name}", None)
    return Unrecordable("takes another branch at nearly every step", None)


_NAMED = re.compile(r"(?:self\.(?!state\b)|\[p\]\['|group\[')(\w+)")
_KEEPS = r"['\"\]]*\s*(?:[-+*/]?=(?!=)|\.(?:append|extend|insert|update))"


def line_of_name(source: str, message: str) -> int | None:
    """The last line that keeps something under the name that a message tells.

    >>> line_of_name("self.a = []\\nself.a.append(g)\\nx = self.b", "keeps self.a so")
    2
    """
    named = _NAMED.search(message)
    if named is None:
        return None
    name = rf"\b{re.escape(named[1])}\b"
    for wanted in (name + _KEEPS, name):
        lines = enumerate(source.splitlines(), 1)
        found = [at for at, line in lines if re.search(wanted, line)]
        if found:
            return found[-1]
    return None


INSTEAD = (
    "keep to operations on whole tensors, and to numbers that are computed of options, "
    "step counts and float(tensor)"
)
"""What a finding about recording says to write instead."""
