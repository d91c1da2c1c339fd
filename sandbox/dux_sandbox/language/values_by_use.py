"""A value for an argument whose name says nothing, by what the class does with it.

A flag is False, what is compared with None is None, a mode is the first that it is
compared with, a function gives back its argument, a number is small. Whether a rule
steps with it is for the dry run to show.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from dux_sandbox.language.allowed_values import first_allowed
from dux_sandbox.language.usual_names import usual

SAME = "lambda given, *others: given"
# What is walked through with the parameters: something for each of them.
BESIDE_PARAMETERS = "beside_parameters"
_OTHERS = (1, 0.5, 0.1, 10)
_NUMBERS = (ast.BinOp, ast.UnaryOp, ast.AugAssign)
_COUNTS = frozenset("range int torch.zeros torch.ones torch.empty".split())
_SAID = frozenset("print repr str format isinstance type callable".split())
_TOLD_BY = ("Error", "Exception", ".format", ".warn", ".info")
_ORDERED = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)


def value_of(
    argument: ast.arg, function: ast.FunctionDef, owner: ast.ClassDef
) -> str | None:
    """A usual value as text, by the name of an argument and by its uses; or None."""
    used, known = by_use(argument, function, owner), usual(argument)
    if known is None and used is None:
        return None
    mode = used is not None and used.startswith(("'", '"'))
    if mode or used in (SAME, BESIDE_PARAMETERS, "False"):
        return used
    value = ast.literal_eval(used) if known is None and used is not None else known
    if value is None or isinstance(value, (bool, tuple)):
        return repr(value)
    return repr(first_allowed([value, *_OTHERS], argument.arg, function))


def by_use(
    argument: ast.arg, function: ast.FunctionDef, owner: ast.ClassDef
) -> str | None:
    """A value as text; None where the uses do not say what it is.

    Args:
        function: whose argument it is, without a default.
        owner: the class that `function` is a method of.

    >>> text = "class A:\\n  def step(self, a, b, c): return b(1.0 if a else c * 2)"
    >>> made = ast.parse(text).body[0]
    >>> [by_use(each, made.body[0], made) for each in made.body[0].args.args[1:]]
    ['False', None, '0.1']
    """
    if not any(
        isinstance(node, ast.Name) and node.id == argument.arg
        for node in ast.walk(function)
    ):
        return None
    parents = _parents(owner)
    uses = list(_uses(argument.arg, function, owner, parents))
    hint = "" if argument.annotation is None else ast.unparse(argument.annotation)
    return _told(uses, hint, parents)


def of_key(key: str, owner: ast.ClassDef) -> str | None:
    """The same for what a class reads as `group[key]`."""
    parents = _parents(owner)
    uses = [
        use
        for method in owner.body
        if isinstance(method, ast.FunctionDef)
        for use in _of_kept(method, set(), {key}, parents)
    ]
    return _told(uses, "", parents)


def _parents(owner: ast.ClassDef) -> Mapping[ast.AST, ast.AST]:
    return {
        child: node for node in ast.walk(owner) for child in ast.iter_child_nodes(node)
    }


def _told(
    uses: list[ast.AST], hint: str, parents: Mapping[ast.AST, ast.AST]
) -> str | None:
    """What uses say together, and a hint of a type."""
    if uses and all(_beside_parameters(use, parents) for use in uses):
        return BESIDE_PARAMETERS
    kinds = list(dict.fromkeys(kind for use in uses for kind in _kinds(use, parents)))
    if "none" in kinds or (not kinds and hint != "bool"):
        return "None"
    if set(kinds) <= {"flag"}:
        return "False"
    texts = [kind for kind in kinds if kind.startswith(("'", '"'))]
    if texts:
        return texts[0]
    if set(kinds) <= {"same", "flag"}:
        return SAME
    if "unknown" in kinds or not {"number", "count"} & set(kinds):
        return {"int": "1", "float": "0.1", "bool": "False"}.get(hint)
    return "1" if "count" in kinds or hint == "int" else "0.1"


def _beside_parameters(node: ast.AST, parents: Mapping[ast.AST, ast.AST]) -> bool:
    """`for p, its in zip(group["params"], node)`."""
    call = parents.get(node)
    return (
        isinstance(call, ast.Call)
        and ast.unparse(call.func) == "zip"
        and any("params" in ast.unparse(each) for each in call.args if each is not node)
    )


def _uses(
    name: str,
    function: ast.FunctionDef,
    owner: ast.ClassDef,
    parents: Mapping[ast.AST, ast.AST],
) -> Iterator[ast.AST]:
    """Where the value of an argument is read, also from `self` and from groups."""
    attributes: set[str] = set()
    keys: set[str] = set()
    named = [
        each
        for each in ast.walk(function)
        if isinstance(each, ast.Name) and each.id == name
    ]
    bound = [each.lineno for each in named if isinstance(each.ctx, ast.Store)]
    last = min(bound, default=function.end_lineno or 0)  # another value from there
    for node in named:
        if node.lineno <= last:
            kept = _kept_as(node, parents)
            attributes.update(key[1:] for key in kept if key.startswith("."))
            keys.update(key for key in kept if not key.startswith("."))
            if not kept and isinstance(node.ctx, ast.Load):
                yield node
    for method in owner.body:
        if isinstance(method, ast.FunctionDef):
            yield from _of_kept(method, attributes, keys, parents)


def _of_kept(
    method: ast.FunctionDef,
    attributes: set[str],
    keys: set[str],
    parents: Mapping[ast.AST, ast.AST],
) -> Iterator[ast.AST]:
    """Reads of `self.name` and `group["name"]`, and of the variables that they get."""
    variables: set[str] = set()
    for node in ast.walk(method):
        read = isinstance(getattr(node, "ctx", None), ast.Load) and (
            (
                isinstance(node, ast.Attribute)
                and node.attr in attributes
                and ast.unparse(node.value) == "self"
            )
            or (
                isinstance(node, ast.Subscript)
                and isinstance(node.slice, ast.Constant)
                and node.slice.value in keys
            )
        )
        if read:
            given = parents.get(node)
            target = given.targets[0] if isinstance(given, ast.Assign) else None
            if isinstance(target, ast.Name):
                variables.add(target.id)
            else:
                yield node
    for node in ast.walk(method):
        if isinstance(node, ast.Name) and node.id in variables:
            if isinstance(node.ctx, ast.Load):
                yield node


def _kept_as(node: ast.Name, parents: Mapping[ast.AST, ast.AST]) -> list[str]:
    """`.name` of `self.name = x`, "name" of `dict(name=x)` and `{"name": x}`."""
    parent = parents.get(node)
    if isinstance(parent, ast.Assign) and parent.value is node:
        return [
            f".{target.attr}"
            for target in parent.targets
            if isinstance(target, ast.Attribute)
        ]
    if isinstance(parent, ast.keyword) and parent.arg is not None:
        call = parents.get(parent)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "dict":
            return [parent.arg]
    if isinstance(parent, ast.Dict):
        return [
            str(key.value)
            for key, value in zip(parent.keys, parent.values, strict=True)
            if value is node and isinstance(key, ast.Constant)
        ]
    return []


def _kinds(node: ast.AST, parents: Mapping[ast.AST, ast.AST]) -> Iterator[str]:
    """What one use says: "flag", "none", "number", "count", "same", or a text."""
    parent = parents.get(node)
    if isinstance(parent, (ast.FormattedValue, ast.Expr)):
        return
    if isinstance(parent, (ast.If, ast.While, ast.IfExp, ast.Assert, ast.BoolOp)):
        yield "flag" if getattr(parent, "body", None) is not node else "unknown"
    elif isinstance(parent, ast.UnaryOp) and isinstance(parent.op, ast.Not):
        yield "flag"
    elif isinstance(parent, ast.Compare):
        yield from _compared(parent)
    elif isinstance(parent, _NUMBERS):
        whole = isinstance(getattr(parent, "op", None), (ast.Mod, ast.FloorDiv))
        yield "count" if whole else "number"
    elif isinstance(parent, ast.Subscript) and parent.slice is node:
        yield "count"
    elif isinstance(parent, ast.keyword) and parent.arg in ("alpha", "value"):
        yield "number"
    elif isinstance(parent, ast.Call):
        yield from _in_call(parent, node)
    else:
        yield "unknown"


def _compared(test: ast.Compare) -> Iterator[str]:
    sides = [test.left, *test.comparators]
    for side in sides:
        for part in getattr(side, "elts", [side]):
            if isinstance(part, ast.Constant):
                if isinstance(part.value, str):
                    yield repr(part.value)
                elif part.value is None:
                    yield "none"
                elif not isinstance(part.value, bool):
                    yield "number"
                else:
                    yield "flag"
    if any(isinstance(op, _ORDERED) for op in test.ops):
        yield "number"


def _in_call(call: ast.Call, node: ast.AST) -> Iterator[str]:
    if call.func is node:
        given = [each for each in call.args if not isinstance(each, ast.Constant)]
        yield "same" if len(given) == 1 and call.args[0] is given[0] else "unknown"
        return
    name = ast.unparse(call.func)
    if name in _COUNTS:
        yield "count"
    elif name == "float" or name.startswith("math."):
        yield "number"
    elif name == "bool":
        yield "flag"
    elif name not in _SAID and not name.endswith(_TOLD_BY):
        yield "unknown"
