"""Rules of two phases that a loop calls by itself: they get a step that calls both.

SAM is often written as `first_step()` and `second_step()`, with a `step` that only
raises, and extragradient as `extrapolation()` and a `step()` that goes on from where
the weights were. A training loop calls `step`: it gets one that takes both, with the
closure between them.
"""

import ast

from dux_sandbox.findings import Finding
from dux_sandbox.language.contract import demanded
from dux_sandbox.language.placing import placed

_STEP = """
def step(self, closure):
    self.{}()
    self.zero_grad()
    loss = closure()
    self.{}()
    return loss
"""
_PHASES = (("first_step", "second_step"), ("ascent_step", "descent_step"))
_AHEAD = ("extrapolation", "extrapolate")
_BACK = "step_from_there"


def join(node: ast.ClassDef) -> Finding | None:
    """Give such a class a step of both, in place.

    Returns:
        The note on it; None where the class steps by itself, or has no such phases.
    """
    methods = {
        each.name: each
        for each in node.body
        if type(each) is ast.FunctionDef and not demanded(each.args, given=1)
    }
    step = methods.get("step")
    ahead = next((name for name in _AHEAD if name in methods), None)
    if ahead is not None and step is not None and not _names(step, ahead):
        step.name = _BACK
        return _joined(node, step, step, (ahead, "step"))
    own = [each for each in node.body if getattr(each, "name", "") == "step"]
    if own and not (isinstance(own[0], ast.FunctionDef) and _only_raises(own[0])):
        return None
    for phases in _PHASES:
        if methods.keys() >= {*phases}:
            at = own[0] if own else node
            node.body = [each for each in node.body if each not in own]
            return _joined(node, at, None, phases)
    return None


def _joined(
    node: ast.ClassDef,
    at: ast.stmt,
    back: ast.FunctionDef | None,
    phases: tuple[str, str],
) -> Finding:
    """Add the step that calls both, in place; `back` is the second, by its new name."""
    first, second = phases
    last = second if back is None else back.name
    node.body.append(placed(ast.parse(_STEP.format(first, last)).body[0], at))
    return Finding(
        "default",
        at.lineno,
        f"step is made of {first} and {second}, with the closure between them",
        "write def step(self, closure): that calls both",
    )


def _names(method: ast.FunctionDef, name: str) -> bool:
    return any(getattr(each, "attr", "") == name for each in ast.walk(method))


def _only_raises(step: ast.FunctionDef) -> bool:
    *before, last = step.body
    told = (isinstance(each, ast.Expr) for each in before)
    return isinstance(last, ast.Raise) and all(told)
