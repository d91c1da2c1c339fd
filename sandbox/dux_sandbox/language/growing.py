"""How what could grow is rewritten: operators, comparisons, texts, comprehensions.

Each becomes a call of a guard that looks at the sizes first, unless the source itself
shows that nothing can grow.
"""

import ast
from typing import Any

from dux_sandbox.language.judging import Handlers, Judging

GUARDS: dict[type[ast.operator], str] = {
    ast.Add: "@add",
    ast.Sub: "@sub",
    ast.Mult: "@mul",
    ast.Div: "@div",
    ast.FloorDiv: "@floordiv",
    ast.Mod: "@mod",
    ast.Pow: "@pow",
    ast.MatMult: "@matmul",
    ast.LShift: "@lshift",
    ast.RShift: "@rshift",
    ast.BitAnd: "@and",
    ast.BitOr: "@or",
    ast.BitXor: "@xor",
}
# With a number on either side they make nothing larger; a whole number repeats lists.
_CALM_WITH_NUMBERS = (
    *(ast.Add, ast.Sub, ast.Div, ast.FloorDiv, ast.RShift),
    *(ast.BitAnd, ast.BitOr, ast.BitXor),
)
_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.In: "in",
    ast.NotIn: "not in",
    ast.Is: "is",
    ast.IsNot: "is not",
}
# Results of these are floats, whatever they are given.
_FLOATS = frozenset(
    f"math.{name}"
    for name in """acos asin atan atan2 cbrt copysign cos cosh degrees erf exp expm1
    fabs fmod hypot log log10 log1p log2 pow radians sin sinh sqrt tan tanh""".split()
)


def literal(node: ast.expr) -> Any:
    """The value of a constant, with or without a sign; None for anything else."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        node = node.operand
    return node.value if isinstance(node, ast.Constant) else None


def _is_calm(node: ast.expr) -> bool:
    """A number, a text or None: to be compared with one looks inside nothing."""
    return literal(node) is not None or isinstance(node, ast.Constant)


def _binds(node: ast.expr) -> bool:
    """Whether an expression binds a name, yields, or needs the function it is in."""
    return any(
        isinstance(inner, (ast.NamedExpr, ast.Yield, ast.YieldFrom))
        or (isinstance(inner, ast.Name) and inner.id == "super")
        for inner in ast.walk(node)
    )


def pattern_of(target: ast.expr) -> tuple[Any, ...] | None:
    """What `unpacked` must know of an assignment's target; None where it is no pattern.

    For every name None, for a starred one "*", for a pattern inside a tuple again.
    """
    if isinstance(target, ast.Starred):
        return pattern_of(target.value)
    if not isinstance(target, (ast.Tuple, ast.List)):
        return None
    return tuple(
        "*" if isinstance(each, ast.Starred) else pattern_of(each)
        for each in target.elts
    )


# Operators


def guard_of(policy: Judging, node: ast.BinOp) -> str | None:
    """The guard that an operator needs, or None where nothing can grow."""
    for operand in (node.left, node.right):
        value = literal(operand)
        found = isinstance(operand, ast.Call) and policy.path(operand.func) in _FLOATS
        steady = found or type(value) in (float, complex)
        if isinstance(node.op, ast.Mod):
            # A text on the left is a format.
            if operand is node.left and (steady or type(value) is int):
                return None
        elif steady and not isinstance(node.op, ast.LShift):
            return None
        elif type(value) is int and isinstance(node.op, _CALM_WITH_NUMBERS):
            return None
    return GUARDS[type(node.op)]


def _compare(policy: Judging, node: ast.Compare) -> ast.AST:
    """Comparisons look inside containers, and spread tensors out."""
    operands = [node.left, *node.comparators]
    calm = all(
        isinstance(operator, (ast.Is, ast.IsNot))
        or (
            not isinstance(operator, (ast.In, ast.NotIn))
            and (_is_calm(left) or _is_calm(right))
        )
        for operator, left, right in zip(node.ops, operands, operands[1:], strict=False)
    )
    if calm:
        return policy.node_contents_visit(node)
    names: list[ast.expr] = [
        policy.text(_COMPARISONS[type(each)], node) for each in node.ops
    ]
    visited = [policy.visit(operand) for operand in operands]
    if len(names) == 1:
        return policy.call("@compare", [names[0], *visited], node)
    listed = ast.copy_location(ast.Tuple(names, ast.Load()), node)
    due = [
        _when_due(policy, operand, made)
        for operand, made in zip(operands[2:], visited[2:], strict=True)
    ]
    return policy.call("@chain", [listed, *visited[:2], *due], node)


def _when_due(policy: Judging, operand: ast.expr, made: ast.expr) -> ast.expr:
    """A function that computes an operand, for it may never be asked for.

    Where a function could not see or bind what the operand does, the operand is
    computed at once.
    """
    if policy.scopes[-1:] == ["class"] or _binds(operand):
        return policy.call("@given", [made], made)
    bare = ast.arguments([], [], None, [], [], None, [])
    return ast.copy_location(ast.Lambda(bare, made), made)


# Texts


def _joined_str(policy: Judging, node: ast.JoinedStr) -> ast.AST:
    """The parts of an f-string are put together by a guard that adds them up."""
    parts = []
    for part in node.values:
        visited = policy.visit(part)
        is_value = isinstance(visited, ast.FormattedValue)
        parts.append(visited.value if is_value else visited)
    return policy.call("@text", parts, node)


# Displays and comprehensions


def _set(policy: Judging, node: ast.Set) -> ast.AST:
    """What is put into a set is hashed."""
    node.elts = [_hashed(policy, each) for each in node.elts]
    return node


def _hashed(policy: Judging, node: ast.expr) -> ast.expr:
    if isinstance(node, ast.Starred):
        value = policy.call("@keys", [policy.visit(node.value)], node)
        return ast.copy_location(ast.Starred(value, ast.Load()), node)
    visited: ast.expr = policy.visit(node)
    if isinstance(node, ast.Constant):
        return visited
    return policy.call("@key", [visited], node)


def _dict(policy: Judging, node: ast.Dict) -> ast.AST:
    """Keys are hashed; `**x` is as `*x`."""
    for index, key in enumerate(node.keys):
        value = policy.visit(node.values[index])
        if key is None:
            value = policy.call("@keys", [value], value)
        else:
            node.keys[index] = _hashed(policy, key)
        node.values[index] = value
    return node


def _list_comp(policy: Judging, node: ast.ListComp) -> ast.AST:
    """A list of at most so many items, of what a generator gives."""
    element = _of_comprehension(policy, node.elt, node.generators)
    return policy.call("@list", [_generated(policy, element, node)], node)


def _set_comp(policy: Judging, node: ast.SetComp) -> ast.AST:
    """As a list, and what is put into it is hashed."""
    element = _of_comprehension(policy, node.elt, node.generators, hashed=True)
    return policy.call("@set", [_generated(policy, element, node)], node)


def _dict_comp(policy: Judging, node: ast.DictComp) -> ast.AST:
    """As a set, by its keys."""
    key = _of_comprehension(policy, node.key, node.generators, hashed=True)
    pair = ast.Tuple([key, policy.visit(node.value)], ast.Load())
    made = _generated(policy, ast.copy_location(pair, node), node)
    return policy.call("@dict", [made], node)


def _generator_exp(policy: Judging, node: ast.GeneratorExp) -> ast.AST:
    """A generator is counted as long as it lives, and so is what it gives."""
    element = _of_comprehension(policy, node.elt, node.generators)
    element = policy.call("@yielded", [element], node.elt)
    return policy.call("@generator", [_generated(policy, element, node)], node)


def _of_comprehension(
    policy: Judging,
    element: ast.expr,
    generators: list[ast.comprehension],
    *,
    hashed: bool = False,
) -> ast.expr:
    for index, generator in enumerate(generators):
        generators[index] = policy.visit(generator)
    visited: ast.expr = _hashed(policy, element) if hashed else policy.visit(element)
    return visited


def _generated(policy: Judging, element: ast.expr, node: Any) -> ast.expr:
    made = ast.GeneratorExp(element, node.generators)
    return ast.copy_location(made, node)


# Patterns of names


def iterated(policy: Judging, target: ast.expr, items: ast.expr) -> ast.expr:
    """What a loop goes through, judged by type, for a target of this pattern."""
    pattern = pattern_of(target)
    if pattern is None:
        return policy.call("@iterable", [items], items)
    return policy.call("@rows", [items, policy.text(pattern, items)], items)


def assigned(
    policy: Judging, target: ast.expr, value: ast.expr, *, display: bool
) -> ast.expr:
    """A value on its way to a target, judged by type where it is a pattern.

    Args:
        display: the value is a tuple or list written out.
    """
    pattern = pattern_of(target)
    if pattern is None or (display and not any(pattern)):
        return value
    return policy.call("@unpack", [value, policy.text(pattern, value)], value)


HANDLERS: Handlers = {
    "Compare": _compare,
    "JoinedStr": _joined_str,
    "Set": _set,
    "Dict": _dict,
    "ListComp": _list_comp,
    "SetComp": _set_comp,
    "DictComp": _dict_comp,
    "GeneratorExp": _generator_exp,
}
"""What is called for a node, by the name of its kind."""
