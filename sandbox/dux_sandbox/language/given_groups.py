"""Constructors that want more of their parameters than tensors: flags, or names.

`Rule([{"params": matrices, "use_muon": True}, ...])` demands a key of each group, and
`Rule(model.named_parameters())` a name beside each tensor. A rule is built over groups
that hold parameters alone: such a key is set then by what a group holds, and a name
made of the place.
"""

import ast
from collections.abc import Iterator

from dux_sandbox.findings import Finding
from dux_sandbox.language.usual_values import put_first

_NAMED = frozenset("named_parameters named_params params_with_names".split())
_NUMBERED = """
{given} = [
    each
    for group in {given}
    for each in (group["params"] if isinstance(group, dict) else [group])
]
{given} = [(f"parameter {{at}}", each) for at, each in enumerate({given})]
"""
_FLAGGED = """
for group in {given}:
    if isinstance(group, dict) and {key!r} not in group:
        group[{key!r}] = any(each.ndim == 2 for each in group["params"])
"""


def complete(node: ast.ClassDef) -> Iterator[Finding]:
    """Have the constructor of an optimizer make what it wants, in place.

    Yields:
        A note on each thing that is made.
    """
    for each in node.body:
        if isinstance(each, ast.FunctionDef) and each.name == "__init__":
            named = each.args.args[1:2]
            if named:
                yield from _complete(each, named[0].arg)


def _complete(init: ast.FunctionDef, given: str) -> Iterator[Finding]:
    if given in _NAMED:
        put_first(init, _NUMBERED.format(given=given))
        message = f"{given} has no names; each parameter is named by its place"
        yield Finding("default", init.lineno, message, "take params, without names")
    for key in dict.fromkeys(_demanded(init, given)):
        put_first(init, _FLAGGED.format(given=given, key=key))
        yield Finding(
            "default",
            init.lineno,
            f"a group without {key!r} gets it where a matrix is among its parameters",
            f"set group[{key!r}] in __init__, by each.ndim of its parameters",
        )


def _demanded(init: ast.FunctionDef, given: str) -> Iterator[str]:
    """Keys without which the constructor raises, of each group that it is given."""
    for loop in ast.walk(init):
        if not isinstance(loop, ast.For) or not _goes_over(loop.iter, given):
            continue
        held = {node.id for node in ast.walk(loop.target) if isinstance(node, ast.Name)}
        for statement in loop.body:
            test = _wanted(statement)
            if test is None or not isinstance(test.left, ast.Constant):
                continue
            of = test.comparators[0]
            if isinstance(test.left.value, str) and test.left.value != "params":
                if isinstance(of, ast.Name) and of.id in held:
                    yield test.left.value


def _goes_over(iterated: ast.expr, given: str) -> bool:
    """`given`, or `enumerate(given)`."""
    if isinstance(iterated, ast.Call) and ast.unparse(iterated.func) == "enumerate":
        iterated = iterated.args[0] if iterated.args else iterated
    return isinstance(iterated, ast.Name) and iterated.id == given


def _wanted(statement: ast.stmt) -> ast.Compare | None:
    """`assert "key" in group`, or an `if` that raises where it is not."""
    wanted: type[ast.cmpop] = ast.In
    if isinstance(statement, ast.Assert):
        test = statement.test
    elif isinstance(statement, ast.If) and isinstance(statement.body[-1], ast.Raise):
        test, wanted = statement.test, ast.NotIn
    else:
        return None
    if isinstance(test, ast.Compare) and isinstance(test.ops[0], wanted):
        return test
    return None
