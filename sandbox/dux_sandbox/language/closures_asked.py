"""Steps that cannot work without a closure, by how they are written."""

import ast

from dux_sandbox.language.bindings import bound_names

_TESTING = (ast.If, ast.While, ast.IfExp)
_AT_ONCE = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr, ast.Return)
_ENABLED = "torch.enable_grad()(closure)"


def asks_closure(step: ast.FunctionDef) -> bool:
    """Whether a step raises at once without a closure, or calls it in any case."""
    return any(map(_raises_without, step.body)) or _calls_it(step)


def _raises_without(statement: ast.stmt) -> bool:
    """`assert closure is not None`, or an `if` that raises otherwise."""
    if isinstance(statement, ast.Assert):
        return ast.unparse(statement.test) in ("closure is not None", "closure")
    if not isinstance(statement, ast.If):
        return False
    test, raises = statement.test, isinstance(statement.body[-1], ast.Raise)
    asked = test.values if isinstance(test, ast.BoolOp) else [test]
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        # `if loss is None and closure is None`: what else it takes is never given.
        raises = raises and all(
            ast.unparse(each).endswith(" is None") for each in asked
        )
    elif isinstance(test, ast.BoolOp):
        return False
    texts = {ast.unparse(each) for each in asked}
    return raises and bool(texts & {"closure is None", "not closure"})


def _calls_it(step: ast.FunctionDef) -> bool:
    """Whether it calls its `closure()` in any case, and never asks if there is one."""
    nodes = [*ast.walk(step)]
    tests = [each.test for each in nodes if isinstance(each, _TESTING)]
    tests += [each for each in nodes if isinstance(each, (ast.BoolOp, ast.Compare))]
    if any(_is_closure(each) for test in tests for each in ast.walk(test)):
        return False
    enabled = {
        target
        for each in nodes
        if isinstance(each, ast.Assign) and any(map(_is_closure, each.targets))
        for target in each.targets
        if ast.unparse(each.value) == _ENABLED
    }
    own = [each for each in ast.walk(step.args) if "closure" in bound_names(each)]
    bound = [each for each in nodes if "closure" in bound_names(each)]
    if not own or {*bound} - {*own} - enabled:
        return False
    left = step.body[::-1]
    while left:
        each = left.pop()
        if isinstance(each, ast.With):
            left += each.body[::-1]
        elif isinstance(each, _AT_ONCE):
            inside = [*ast.walk(each)]
            later = any(isinstance(node, ast.Lambda) for node in inside)
            if not later and any(map(_calls_closure, inside)):
                return True
        if not isinstance(each, ast.With) and _leaves(each):
            return False
    return False


def _leaves(node: ast.AST) -> bool:
    """Whether it may end the step, by a return of its own."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Lambda)):
        return False
    return isinstance(node, ast.Return) or any(
        _leaves(each) for each in ast.iter_child_nodes(node)
    )


def _calls_closure(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and _is_closure(node.func)


def _is_closure(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "closure"
