"""Rules that take several steps in one: as many as a step may evaluate losses for.

LBFGS takes up to twenty inner steps, each with a loss of its own. A step of a rule may
ask its closure for ten, so that fewer are taken where nobody says how many.
"""

import ast

from dux_sandbox.findings import Finding

# Of ten evaluations; torch's own takes a quarter more of them than inner steps.
_MOST = {"max_iter": 8, "max_iters": 8, "max_eval": 10}
_OF_SUCH = frozenset("max_eval history_size line_search_fn line_search".split())


def bound(node: ast.ClassDef) -> list[Finding]:
    """Lower the defaults of a constructor of that kind, in place.

    Returns:
        A note on each.
    """
    for init in node.body:
        if isinstance(init, ast.FunctionDef) and init.name == "__init__":
            return _bounded(init)
    return []


def _bounded(init: ast.FunctionDef) -> list[Finding]:
    arguments = init.args
    names = [each.arg for each in arguments.args]
    if _OF_SUCH.isdisjoint(names) or not arguments.defaults:
        return []
    notes = []
    given = zip(names[-len(arguments.defaults) :], arguments.defaults, strict=True)
    for name, default in given:
        value = default.value if isinstance(default, ast.Constant) else None
        most = _MOST.get(name)
        if most is None or not isinstance(value, int) or value <= most:
            continue
        assert isinstance(default, ast.Constant)
        default.value = most
        message = f"{name}={value} asks for more losses than one step may; {most} is"
        instead = f"write {name}={most}, or less"
        notes.append(Finding("default", init.lineno, f"{message} taken", instead))
    return notes
