"""An experiment that is its own record: each line is run as it is written down.

So the script that a violation prints is no retelling: it is what was run.
"""

import copy
import pickle
import random
from collections.abc import Callable
from functools import lru_cache
from types import CodeType
from typing import Any

import torch

from dux_sandbox.global_modes import MODES
from dux_sandbox.laws.header import Header
from dux_sandbox.laws.joining import joined
from dux_sandbox.runtime.context import Runaway
from dux_sandbox.runtime.text import plain

_MODES = ",\n        ".join(mode.asked for mode in MODES if "._C." not in mode.asked)
# Longer definitions that a script may use, by name.
_DEFINITIONS = {
    "same": '''
def same(one, two):
    """Whether two states hold the same: keys, values, and dtypes of arrays."""
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[k], two[k]) for k in one)
    if hasattr(one, "__len__") and not isinstance(one, (str, torch.Tensor)):
        return len(one) == len(two) and all(map(same, one, two))
    if isinstance(one, torch.Tensor):
        # torch itself changes the dtype of a 0-d state tensor when it loads it.
        alike = one.ndim == 0 or one.dtype == two.dtype
        return alike and one.shape == two.shape and torch.allclose(
            one.double(), two.double(), rtol=1e-2 if one.ndim == 0 else 0, atol=0,
            equal_nan=True)
    return one == two
''',
    "held_bytes": '''
def held_bytes(optimizer):
    """Bytes of all that an optimizer and its class hold on to."""
    found, seen = 0, {}
    shared = [v for v in vars(type(optimizer)).values() if isinstance(v, (list, dict))]
    waiting = [vars(optimizer), *shared]
    while waiting:
        held = waiting.pop()
        if held is None or id(held) in seen:
            continue
        seen[id(held)] = held
        if isinstance(held, torch.Tensor):
            found += held.numel() * held.element_size()
            waiting.append(held.grad_fn)
        elif isinstance(held, str):
            found += len(held)
        elif isinstance(held, dict):
            found += 16 * len(held)
            waiting += [*held.keys(), *held.values()]
        elif hasattr(held, "__iter__") and hasattr(held, "__len__"):
            found += 8 * len(held)
            waiting += list(held)
        elif hasattr(held, "next_functions"):  # a graph that is kept alive
            found += 64
            waiting += [function for function, _ in held.next_functions]
    return found
''',
    "linear_loss": '''
def linear_loss(*parameters):
    """A closure of a loss whose gradients are, each time, those at hand now."""
    held = [(p, p.grad, p.grad.clone()) for p in parameters if p.grad is not None]

    def closure():
        for p, gradient, values in held:
            p.grad = gradient  # a rule may have cleared it, to have it anew
            gradient.copy_(values)
        return sum((p.detach() * values).sum() for p, _, values in held)

    return closure
''',
    "modes": f'''
def modes():
    """What a rule could change for the whole process."""
    return (
        {_MODES},
        float(torch.tensor(1e-40) * 1.0) == 0,  # whether denormals are flushed
    )
''',
}

_MODULES: dict[str, Any] = {
    "torch": torch,
    "copy": copy,
    "pickle": pickle,
    "random": random,
}


def provide(name: str, stand_in: Any) -> None:
    """Let scripts run with something else in the place of a module they import."""
    _MODULES[name] = stand_in


class Violation(Exception):
    """A law is broken; `.message` says how, `.script` shows it.

    `.cause` names what is behind it where other laws could tell of the same: one cause
    is one accusation.
    """

    def __init__(self, message: str, script: str, cause: str = "") -> None:
        self.message = message
        self.script = script
        self.cause = cause
        super().__init__(message)


class Raised(Violation):
    """A law is broken by what the rule raised."""


class Unjudged(Exception):
    """Nothing can be said here, or another law is about it."""


class Died(Unjudged):
    """The rule raised in what another law is about."""


@lru_cache(maxsize=8192)
def _compiled(text: str, mode: str) -> CodeType:
    return compile(text, "<experiment>", mode)


class Script:
    """Runs lines and remembers them.

    Args:
        factory: what a script calls `factory`: parameters to an optimizer.
        header: texts that define `factory` in a script of its own.
    """

    def __init__(self, factory: Callable[[Any], Any], header: Header) -> None:
        self._header = header
        self._names: dict[str, Any] = {"factory": factory}
        self._used: list[str] = []
        self._lines: list[str] = []
        self._accusing = False

    def accuse(self) -> None:
        """From here on, what the rule raises breaks the law that is tried."""
        self._accusing = True

    def use(self, definition: str) -> None:
        """Define one of the longer functions."""
        if definition not in self._used:
            self._used.append(definition)
            self._names.update(_MODULES)
            exec(_compiled(_DEFINITIONS[definition], "exec"), self._names)

    def run(self, line: str) -> None:
        """Run one statement and write it down.

        Raises:
            Raised: it raised, and the rule stands accused.
            Died: it raised before.
        """
        self._lines.append(line)
        self._names.update(_MODULES)
        try:
            exec(_compiled(line, "exec"), self._names)
        # Generated code: whatever it raises is a finding.
        except (Exception, Runaway) as error:
            if not self._accusing:
                raise Died(_told(error)) from None
            told = _told(error)
            raise Raised(f"it raised {told}", self.text(), told) from None

    def look(self, expression: str) -> Any:
        """The value of an expression, which is not written down."""
        return eval(_compiled(expression, "eval"), self._names)

    def claim(self, expression: str, otherwise: str, cause: str = "") -> None:
        """Write an assertion down and hold the rule to it.

        Args:
            cause: see `Violation`.

        Raises:
            Violation: it does not hold; `otherwise` says what that means.
        """
        line = f"assert {expression}, {otherwise!r}"
        self._lines.append(line)
        try:
            holds = bool(self.look(expression))
        except Exception as error:  # what a rule left behind may not even compare
            raise Violation(f"{otherwise} ({_told(error)})", self.text()) from None
        if not holds:
            raise Violation(otherwise, self.text(), cause)

    def text(self) -> str:
        """The whole experiment as a script that needs torch and the rule only."""
        body = "\n".join(self._lines)
        used = [name for name in ("copy", "pickle", "random") if f"{name}." in body]
        imports = "".join(f"import {name}\n" for name in used)
        before = f"{imports}\nimport torch\n" if imports else "import torch\n"
        parts = [f"\n{self._header.factory}"]
        parts += [f"\n{_DEFINITIONS[name].strip()}\n" for name in self._used]
        return joined(before, self._header.rule, "\n".join([*parts, body]))


def _told(error: BaseException) -> str:
    text = " ".join(plain(error).split())[:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
