"""Whether the vector of `(g * v).sum()` has a graph of its own.

The slope of that sum is the product of the Hessian and v only where v stands for
numbers. Where v was computed of g or of what g is the slope for, as in `v = g /
g.norm()`, torch differentiates the vector too.
"""

import ast
from collections.abc import Iterable, Iterator

# Calls and attributes that give numbers without a graph, or with no slope.
_CUT = frozenset(
    """data detach device dtype dim empty_like float full_like int isfinite item len
    ndim numel ones_like rand_like randint_like randn_like shape sign size tolist zeros
    zeros_like""".split()
)
_NO_VALUES = frozenset(["self", "torch", "math"])

Flow = dict[str, set[str]]


def flow_of(method: ast.FunctionDef) -> Flow:
    """What each name of a method is computed of, where that leaves a graph."""
    flow: Flow = {}
    for name, value in _given(method):
        flow.setdefault(name, set()).update(_names(value))
    return flow


def handed_in(method: ast.FunctionDef, methods: Iterable[ast.FunctionDef]) -> Flow:
    """What the arguments of a method are computed of where others of its class call it.

    With the flow of those, as if the two shared their names.
    """
    names = [each.arg for each in method.args.args if each.arg != "self"]
    flow: Flow = {}
    for caller in methods:
        for call in ast.walk(caller):
            if not isinstance(call, ast.Call):
                continue
            if ast.unparse(call.func) != f"self.{method.name}":
                continue
            given = [*zip(names, call.args, strict=False)]
            given += [(each.arg or "", each.value) for each in call.keywords]
            for name, value in given:
                flow.setdefault(name, set()).update(_names(value))
            for name, of in flow_of(caller).items():
                flow.setdefault(name, set()).update(of)
    return flow


def depend(gradient: ast.expr, vector: ast.expr, flow: Flow) -> bool:
    """Whether both factors are computed of the same, as far as names tell."""
    return not _reached(gradient, flow).isdisjoint(_reached(vector, flow))


def _reached(node: ast.expr, flow: Flow) -> set[str]:
    reached: set[str] = set()
    waiting = [*_names(node)]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += flow.get(name, ())
    return reached


def _names(node: ast.AST) -> Iterator[str]:
    """The names whose graph what an expression gives has."""
    called = node.func if isinstance(node, ast.Call) else node
    if isinstance(called, ast.Attribute) and called.attr in _CUT:
        return
    if isinstance(node, ast.Call) and ast.unparse(node.func) in _CUT:
        return
    if isinstance(node, ast.Compare):
        return  # what is compared, asked or an index has no slope
    if isinstance(node, ast.Subscript):
        if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
            yield ast.unparse(node)
        else:
            yield from _names(node.value)
        return
    if isinstance(node, ast.Name) and node.id not in _NO_VALUES:
        yield node.id
    if isinstance(node, ast.Attribute):
        yield ast.unparse(node)
    asked = node.test if isinstance(node, ast.IfExp) else None
    for each in ast.iter_child_nodes(node):
        # What a comprehension goes over is what its own names get.
        if not isinstance(each, ast.comprehension) and each is not asked:
            yield from _names(each)


def _given(method: ast.FunctionDef) -> Iterator[tuple[str, ast.expr]]:
    """What each name of a method gets, but under `torch.no_grad`."""
    numbers = {
        each
        for block in ast.walk(method)
        if isinstance(block, ast.With)
        and any(ast.unparse(one).endswith("no_grad()") for one in block.items)
        for each in ast.walk(block)
    }
    for node in ast.walk(method):
        if node in numbers:
            continue
        if isinstance(node, ast.Assign):
            for target in node.targets:
                yield from _pairs(target, node.value)
        elif isinstance(node, ast.AugAssign):
            yield from _pairs(node.target, node.value)
        elif isinstance(node, (ast.For, ast.comprehension)):
            yield from _pairs(node.target, node.iter)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr == "append" and len(node.args) == 1:
                yield from _pairs(node.func.value, node.args[0])


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if not isinstance(target, (ast.Tuple, ast.List)):
        yield from ((name, value) for name in [*_names(target)][:1])
        return
    each = value.elts if isinstance(value, (ast.Tuple, ast.List)) else []
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "zip":
        each = value.args
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "enumerate":
        each = [ast.Constant(0), *value.args[:1]]
    same = len(each) == len(target.elts)
    for at, one in enumerate(target.elts):
        yield from _pairs(one, each[at] if same else value)
