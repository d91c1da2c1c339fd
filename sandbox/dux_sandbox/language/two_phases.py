"""Rules of phases that a loop calls by itself: they get a step that calls them all.

SAM is often written as `first_step()` and `second_step()`, kin of it with a third, with
a `step` that only raises, and extragradient as `extrapolation()` and a `step()` that
goes on from where the weights were. A training loop calls `step`: it gets one that
takes them in turn, with the closure between each and the next.
"""

import ast
import itertools
from collections.abc import Sequence

from dux_sandbox.findings import Finding
from dux_sandbox.language.contract import demanded, only_raises
from dux_sandbox.language.placing import placed

_STEP = """
def step(self, closure):
    self.{}()
{}    return loss
"""
_NEXT = """\
    self.zero_grad()
    loss = closure()
    self.{}()
"""
_COUNTED = ("first_step", "second_step", "third_step", "fourth_step", "fifth_step")
_PHASES = (_COUNTED, ("ascent_step", "descent_step"))
_AHEAD = ("extrapolation", "extrapolate")
_BACK = "step_from_there"


def join(node: ast.ClassDef) -> Finding | None:
    """Give such a class a step that takes its phases in turn, in place.

    Returns:
        The note on it; None where the class steps by itself, or has no such phases, or
        where one of them demands an argument, which the contract refuses.
    """
    methods = {
        each.name: each
        for each in node.body
        if type(each) is ast.FunctionDef and not demanded(each.args, given=1)
    }
    defined = {getattr(each, "name", "") for each in node.body}
    step = methods.get("step")
    ahead = next((name for name in _AHEAD if name in methods), None)
    if ahead is not None and step is not None and not _names(step, ahead):
        step.name = _BACK
        return _joined(node, step, step, (ahead, "step"))
    own = [each for each in node.body if getattr(each, "name", "") == "step"]
    if own and not (isinstance(own[0], ast.FunctionDef) and only_raises(own[0])):
        return None
    for every in _PHASES:
        phases = [*itertools.takewhile(defined.__contains__, every)]
        if phases[1:] and methods.keys() >= {*phases}:
            at = own[0] if own else node
            node.body = [each for each in node.body if each not in own]
            return _joined(node, at, None, phases)
    return None


def _joined(
    node: ast.ClassDef,
    at: ast.stmt,
    back: ast.FunctionDef | None,
    phases: Sequence[str],
) -> Finding:
    """Add the step that calls them, in place; `back` is the last, by its new name."""
    first, *others = phases
    called = others if back is None else [back.name]
    text = _STEP.format(first, "".join(map(_NEXT.format, called)))
    node.body.append(placed(ast.parse(text).body[0], at))
    return Finding(
        "default",
        at.lineno,
        f"step is made of {', '.join(phases[:-1])} and {phases[-1]}, with the closure "
        "between them",
        "write def step(self, closure): that calls them",
    )


def _names(method: ast.FunctionDef, name: str) -> bool:
    return any(getattr(each, "attr", "") == name for each in ast.walk(method))
