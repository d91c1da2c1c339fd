"""A value for an argument whose name says nothing, by what the class does with it.

A flag is False, what is compared with None is None, a mode is the first that it is
compared with, a function gives back its argument, a number is small. Whether a rule
steps with it is for the dry run to show.
"""

import ast
from collections.abc import Iterator, Mapping

from dux_sandbox.language.allowed_values import first_allowed
from dux_sandbox.language.reads import Reads
from dux_sandbox.language.usual_names import usual

SAME = "lambda given, *others: given"
# What is walked through with the parameters: something for each of them.
BESIDE_PARAMETERS = "beside_parameters"
_OTHERS = (1, 0.5, 0.1, 10)
# What is longer says nothing: no optimizer has it, and a check may not take long.
_MANY = 40
_NUMBERS = (ast.BinOp, ast.UnaryOp, ast.AugAssign)
_COUNTS = frozenset("range int torch.zeros torch.ones torch.empty".split())
_SAID = frozenset("print repr str format isinstance type callable".split())
_TOLD_BY = ("Error", "Exception", ".format", ".warn", ".info")
_ORDERED = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)


def value_of(argument: ast.arg, function: ast.FunctionDef, reads: Reads) -> str | None:
    """A usual value as text, by the name of an argument and by its uses; or None.

    Args:
        function: whose argument it is, without a default.
        reads: of the class that `function` is a method of.
    """
    used, known = by_use(argument, function, reads), usual(argument)
    if known is None and used is None:
        return None
    mode = used is not None and used.startswith(("'", '"'))
    if mode or used in (SAME, BESIDE_PARAMETERS, "False"):
        return used
    value = ast.literal_eval(used) if known is None and used is not None else known
    if value is None or isinstance(value, (bool, tuple)):
        return repr(value)
    return repr(first_allowed([value, *_OTHERS], argument.arg, function))


def by_use(argument: ast.arg, function: ast.FunctionDef, reads: Reads) -> str | None:
    """A value as text; None where the uses do not say what it is.

    >>> text = "class A:\n  def step(self, a, b, c): return b(1.0 if a else c * 2)"
    >>> made = ast.parse(text).body[0]
    >>> step, reads = made.body[0], Reads.of(made)
    >>> [by_use(each, step, reads) for each in step.args.args[1:]]
    ['False', None, '0.1']
    """
    if (function, argument.arg) not in reads.names:
        return None
    uses = list(_uses(argument.arg, function, reads))
    hint = "" if argument.annotation is None else ast.unparse(argument.annotation)
    return told(uses, hint, reads.parents)


def of_key(key: str, reads: Reads) -> str | None:
    """The same for what a class reads as `group[key]`."""
    return told(list(reads.kept(reads.keys.get(key, []))), "", reads.parents)


def told(
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
        and _called(call) == "zip"
        and len(call.args) <= _MANY
        and any(_of_parameters(each) for each in call.args if each is not node)
    )


def _of_parameters(node: ast.expr) -> bool:
    """`group["params"]`, `self.params` or `params`."""
    name = getattr(node, "attr", getattr(node, "id", ""))
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        name = str(node.slice.value)
    return "params" in name


def _uses(name: str, function: ast.FunctionDef, reads: Reads) -> Iterator[ast.AST]:
    """Where the value of an argument is read, also from `self` and from groups."""
    named = reads.names[function, name]
    bound = [each.lineno for each in named if isinstance(each.ctx, ast.Store)]
    last = min(bound, default=function.end_lineno or 0)  # another value from there
    kept: set[str] = set()
    for node in named:
        if node.lineno <= last:
            places = _kept_as(node, reads.parents)
            copied = _copied_as(node, reads.parents)
            if copied:
                yield from reads.kept([(function, copied)])
                continue
            kept.update(places)
            if not places and isinstance(node.ctx, ast.Load):
                yield node
    for place in sorted(kept):
        held = reads.attributes if place.startswith(".") else reads.keys
        yield from reads.kept(held.get(place.removeprefix("."), []))


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
        if isinstance(call, ast.Call) and _called(call) == "dict":
            return [parent.arg]
    if isinstance(parent, ast.Dict) and len(parent.keys) <= _MANY:
        return [
            str(key.value)
            for key, value in zip(parent.keys, parent.values, strict=True)
            if value is node and isinstance(key, ast.Constant)
        ]
    return []


def _copied_as(node: ast.Name, parents: Mapping[ast.AST, ast.AST]) -> ast.Call | None:
    """The call of `its = node.copy()`, whose variable is then read in its place."""
    method = parents.get(node)
    call = parents.get(method) if isinstance(method, ast.Attribute) else None
    plain = isinstance(call, ast.Call) and call.func is method and not call.args
    if not plain or method.attr != "copy":  # type: ignore[union-attr]
        return None
    return call if isinstance(parents.get(call), ast.Assign) else None  # type: ignore[arg-type,return-value]


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
    sides = [test.left, *test.comparators[:_MANY]]
    for side in sides:
        for part in getattr(side, "elts", [side])[:_MANY]:
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


def _called(call: ast.Call) -> str:
    """`name` or `owner.name` of what is called; of anything else its last name."""
    if isinstance(call.func, ast.Attribute):
        return f"{getattr(call.func.value, 'id', '')}.{call.func.attr}"
    return getattr(call.func, "id", "")


def _in_call(call: ast.Call, node: ast.AST) -> Iterator[str]:
    if call.func is node:
        given = [e for e in call.args[:_MANY] if not isinstance(e, ast.Constant)]
        yield "same" if len(given) == 1 and call.args[0] is given[0] else "unknown"
        return
    name = _called(call)
    if name in _COUNTS:
        yield "count"
    elif name == "float" or name.startswith("math."):
        yield "number"
    elif name == "bool":
        yield "flag"
    elif name not in _SAID and not name.endswith(_TOLD_BY):
        yield "unknown"
