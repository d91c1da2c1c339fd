"""What modules such as `copy` and `heapq` do, written in the language of rules.

A source that imports `copy`, `heapq`, `operator`, `random` or `statistics` gets these
functions in their place, before it is judged: they are judged with it and run behind
the same guards, so that nothing is let in by them. Random numbers are drawn as
`torch.rand` draws them. So are the functions behind torch's own optimizers, the
gradients of a closure's loss, the product of the Hessian and vectors
(`second_derivatives` says when they are taken), the face of a model (`model_faces`),
and draws after a seed of the rule's own (`seeding`).
"""

import ast
import copy
import functools

from dux_sandbox.language import (
    heap_functions,
    random_functions,
    seeded_functions,
    statistics_functions,
    torch_functions,
)
from dux_sandbox.language.bindings import bound_names, import_aliases, path_of

_MODULES = frozenset("copy heapq operator random statistics".split())
_IMPORTS = (ast.Import, ast.ImportFrom)
_TORCH, _MATH = "torch_written_out", "math_written_out"
_OPERATORS = {
    **dict(add="+", sub="-", mul="*", truediv="/", floordiv="//", mod="%", pow="**"),
    **dict(matmul="@", eq="==", ne="!=", lt="<", le="<=", gt=">", ge=">="),
    **dict(and_="&", or_="|", xor="^"),
}
_WRITTEN = f"""
import torch as {_TORCH}

def copy_copy(value):
    if isinstance(value, {_TORCH}.Tensor):
        return value.detach()
    for kind in (dict, list, tuple, set):
        if isinstance(value, kind):
            return kind(value)
    return copy_deepcopy(value)

def copy_deepcopy(value, memo=None):
    if isinstance(value, {_TORCH}.Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {{key: copy_deepcopy(value[key]) for key in value}}
    for kind in (list, tuple, set):
        if isinstance(value, kind):
            return kind([copy_deepcopy(each) for each in value])
    plain = (bool, int, float, complex, str, {_TORCH}.dtype, {_TORCH}.device)
    if value is None or isinstance(value, plain) or callable(value):
        return value
    raise TypeError(
        f"a copy of a {{type(value).__name__}} is not available; copy its tensors "
        "with .clone(), a dict with dict(d), a list with list(x)"
    )

def hessian_product(rule, outputs, inputs, grad_outputs, *others, **options):
    def listed(held):
        return [held] if isinstance(held, {_TORCH}.Tensor) else list(held)

    every = [p for group in rule.param_groups for p in group["params"]]
    given = [(p, p.grad.clone()) for p in every if p.grad is not None]
    places, slopes, vectors = listed(inputs), listed(outputs), listed(grad_outputs)
    same = len(places) == len(slopes) == len(vectors) and all(
        p.grad is not None
        and g.shape == p.shape
        and {_TORCH}.allclose(g, p.grad, rtol=0.0, atol=0.0, equal_nan=True)
        for p, g in zip(places, slopes)
    )
    if not same:
        raise NotImplementedError(
            "torch.autograd.grad is taken of gradients with one vector for each: "
            "grad([p.grad for p in params], params, grad_outputs=vectors)"
        )
    kept = [p.detach().clone() for p in places]
    length = sum([v.square().sum().item() for v in vectors]) ** 0.5
    far = 1.0 + sum([p.square().sum().item() for p in kept]) ** 0.5
    smallest = max([{_TORCH}.finfo(p.dtype).eps for p in kept])
    step = far * smallest ** (1 / 3) / (length or 1.0)
    found = []
    for way in (step, -step):
        for p, was, v in zip(places, kept, vectors):
            p.data.copy_(was + way * v)
        with {_TORCH}.enable_grad():
            rule.hessian_closure()
        found.append([p.grad.clone() for p in places])
    for p, was in zip(places, kept):
        p.data.copy_(was)
    for p, was in given:
        p.grad.copy_(was)
    return tuple([(up - down) / (2 * step) for up, down in zip(*found)])

def closure_gradients(loss, inputs, **options):
    places = [inputs] if isinstance(inputs, {_TORCH}.Tensor) else list(inputs)
    unused = options.get("allow_unused", False)
    if not unused and any(p.grad is None for p in places):
        raise RuntimeError("the closure gave no gradient for one of the tensors")
    return tuple([None if p.grad is None else p.grad.clone() for p in places])

class ModelFace:
    def __init__(self, given):
        self.held = [
            each
            for group in given
            for each in (group["params"] if isinstance(group, dict) else [group])
        ]

    def parameters(self, recurse=True):
        return list(self.held)

    def named_parameters(self, prefix="", recurse=True):
        return [(f"parameter {{at}}", each) for at, each in enumerate(self.held)]

    def zero_grad(self, set_to_none=True):
        for each in self.held:
            if each.grad is not None:
                each.grad.zero_()

    def train(self, mode=True):
        return self

    def eval(self):
        return self

def model_of(given):
    return ModelFace(list(given))

def operator_neg(a):
    return -a

def operator_getitem(a, b):
    return a[b]

def operator_itemgetter(item, *others):
    if not others:
        return lambda held: held[item]
    return lambda held: tuple([held[each] for each in (item, *others)])
""" + "".join(
    f"\ndef operator_{name}(a, b):\n    return a {sign} b\n"
    for name, sign in _OPERATORS.items()
)


@functools.cache
def _definitions() -> dict[str, ast.FunctionDef | ast.ClassDef]:
    rooms = (heap_functions, random_functions, seeded_functions, torch_functions)
    texts = [room.WRITTEN for room in (*rooms, statistics_functions)]
    body = ast.parse("".join([_WRITTEN, *texts])).body
    kinds = (ast.FunctionDef, ast.ClassDef)
    return {each.name: each for each in body if isinstance(each, kinds)}


def write_out(tree: ast.Module) -> bool:
    """Put them in place of what the top of `tree` imports of those modules, in place.

    An import whose names are used for something else stays, and is judged.

    Returns:
        Whether there was such an import.
    """
    brought = {
        name: path
        for each in tree.body
        for name, path in import_aliases(each)
        if path.partition(".")[0] in _MODULES or _of_torch(path)
    }
    if not brought:
        return False
    top = [each for each in tree.body if isinstance(each, _IMPORTS)]
    nodes = [each for each in ast.walk(tree) if each not in top]
    for name in {name for each in nodes for name in bound_names(each)}:
        brought.pop(name, None)
    naming = _Naming(brought)
    naming.visit(tree)
    read = {each.id for each in ast.walk(tree) if isinstance(each, ast.Name)}
    idle = brought.keys() - read
    for each in top:
        each.names = [a for a in each.names if (a.asname or a.name) not in idle]
    at = tree.body[0]
    body = [each for each in tree.body if getattr(each, "names", True)]
    tree.body = body or [ast.copy_location(ast.Pass(), at)]
    define(tree, naming.used)
    return True


def _of_torch(path: str) -> str:
    """What a function of torch.optim's is written out as, or its module; or ""."""
    module, _, name = path.rpartition(".")
    if path in torch_functions.MODULES and name.startswith("_"):
        return path
    made = f"{torch_functions.HOME}_{name}"
    return made if module in torch_functions.MODULES and made in _definitions() else ""


def define(tree: ast.Module, names: set[str]) -> None:
    """Put functions of here, and what they call, before everything, in place."""
    made: list[ast.stmt] = [
        copy.deepcopy(_definitions()[name]) for name in _with_what_they_call(names)
    ]
    if made:
        imports = f"import torch as {_TORCH}\n"
        if any(name.startswith("statistics_") for name in names):
            imports += f"import math as {_MATH}\n"
        made[:0] = ast.parse(imports).body
    for written in made:
        for node in ast.walk(written):
            ast.copy_location(node, tree.body[0])
    tree.body[:0] = made


class _Naming(ast.NodeTransformer):
    """`copy.deepcopy` becomes the name of the function that is written out for it."""

    def __init__(self, aliases: dict[str, str]) -> None:
        self._aliases = aliases
        self.used: set[str] = set()

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        return self._named(node) or self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return self._named(node) or node

    def _named(self, node: ast.Name | ast.Attribute) -> ast.AST | None:
        path = path_of(node, self._aliases) if isinstance(node.ctx, ast.Load) else None
        name = _of_torch(path or "") or (path or "").replace(".", "_", 1)
        if name not in _definitions():
            return None
        self.used.add(name)
        return ast.copy_location(ast.Name(name, ast.Load()), node)


def _with_what_they_call(names: set[str]) -> list[str]:
    found: list[str] = []
    left = sorted(names)
    while left:
        name = left.pop()
        if name not in found:
            found.append(name)
            inside = ast.walk(_definitions()[name])
            called = {each.id for each in inside if isinstance(each, ast.Name)}
            left += sorted(called & _definitions().keys())
    return found
