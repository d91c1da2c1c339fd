"""Rules of two phases that a loop calls by itself: they get a step that calls both.

SAM is often written as `first_step()` and `second_step()`, with a `step` that only
raises. A training loop calls `step`: it gets one that takes both, with the closure
between them.
"""

import ast

from dux_sandbox.findings import Finding
from dux_sandbox.language.contract import demanded
from dux_sandbox.language.placing import placed

_STEP = """
def step(self, closure):
    self.first_step()
    self.zero_grad()
    loss = closure()
    self.second_step()
    return loss
"""
_PHASES = ("first_step", "second_step")


def join(node: ast.ClassDef) -> Finding | None:
    """Give such a class a step of both, in place.

    Returns:
        The note on it; None where the class steps by itself, or has no such phases.
    """
    methods = {each.name: each for each in node.body if type(each) is ast.FunctionDef}
    phases = [methods.get(name) for name in _PHASES]
    step = methods.get("step")
    if step is not None and not _only_raises(step):
        return None
    if any(each is None or demanded(each.args, given=1) for each in phases):
        return None
    at = node if step is None else step
    made = placed(ast.parse(_STEP).body[0], at)
    node.body = [*(each for each in node.body if each is not step), made]
    return Finding(
        "default",
        at.lineno,
        "step is made of first_step and second_step, with the closure between them",
        "write def step(self, closure): that calls both",
    )


def _only_raises(step: ast.FunctionDef) -> bool:
    *before, last = step.body
    told = (isinstance(each, ast.Expr) for each in before)
    return isinstance(last, ast.Raise) and all(told)
