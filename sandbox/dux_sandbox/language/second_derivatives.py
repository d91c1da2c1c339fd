"""Rules that differentiate their gradients: products of the Hessian and vectors.

A rule has no graph of the loss, but its closure gives the gradients anywhere. So
`torch.autograd.grad([p.grad ...], params, grad_outputs=vectors)` in an optimizer is
taken by central differences: the closure is evaluated twice more, a little way along
the vectors on either side. The step wants a closure then.
"""

import ast
from collections.abc import Iterable

from dux_sandbox.findings import Finding
from dux_sandbox.language.bindings import path_of
from dux_sandbox.language.usual_values import put_first
from dux_sandbox.language.written_out import define

_PRODUCT = "hessian_product"
_DIFFERENCES = "differences"  # the rule of the notes on them
_AUTOGRAD = frozenset(["autograd", "torch.autograd", "torch.autograd.grad"])
_WANTED = """
if closure is None:
    raise RuntimeError("second derivatives are taken of step(closure)")
self.hessian_closure = closure
"""


def by_differences(
    node: ast.ClassDef, aliases: dict[str, str], attributes: set[str]
) -> list[Finding]:
    """Change an optimizer that takes such products, in place.

    Args:
        aliases: what the names of its source are imported as.
        attributes: the names of all attributes of its source.

    Returns:
        A note on each; none where it takes none, or has no step of its own.
    """
    if _AUTOGRAD.isdisjoint([*aliases.values(), *attributes]):
        return []
    methods = [each for each in node.body if isinstance(each, ast.FunctionDef)]
    step = next((each for each in methods if each.name == "step"), None)
    calls = [
        call
        for method in methods
        if [each.arg for each in method.args.args[:1]] == ["self"]
        for call in ast.walk(method)
        if isinstance(call, ast.Call)
        and path_of(call.func, aliases) == "torch.autograd.grad"
    ]
    products = [each for each in calls if _of_vectors(each)]
    if step is None or not products:
        return []
    arguments = step.args
    if "closure" not in {a.arg for a in (*arguments.args, *arguments.kwonlyargs)}:
        arguments.args.append(ast.copy_location(ast.arg("closure"), step))
        arguments.defaults.append(ast.copy_location(ast.Constant(None), step))
    put_first(step, _WANTED)
    for call in products:
        call.func = ast.copy_location(ast.Name(_PRODUCT, ast.Load()), call)
        call.args.insert(0, ast.copy_location(ast.Name("self", ast.Load()), call))
    _Ungraphed().visit(node)
    return [
        Finding(
            _DIFFERENCES,
            call.lineno,
            "a product of the Hessian and vectors is taken by central differences: "
            "step(closure) evaluates the closure twice more",
            "leave it as it is, and pass a closure",
        )
        for call in products
    ]


def put_product(tree: ast.Module, notes: Iterable[Finding]) -> None:
    """Define what such products are taken by, where one of the notes is on one.

    `from torch.autograd import grad` goes, where nothing reads it any more.
    """
    if all(each.rule != _DIFFERENCES for each in notes):
        return
    define(tree, {_PRODUCT})
    read = {each.id for each in ast.walk(tree) if isinstance(each, ast.Name)}
    for each in list(tree.body):
        if isinstance(each, ast.ImportFrom) and each.module == "torch.autograd":
            each.names = [
                a
                for a in each.names
                if a.name != "grad" or (a.asname or "grad") in read
            ]
            if not each.names:
                tree.body.remove(each)


def _of_vectors(call: ast.Call) -> bool:
    given = {each.arg for each in call.keywords}
    return len(call.args) > 2 or "grad_outputs" in given


class _Ungraphed(ast.NodeTransformer):
    """`if grad.grad_fn is None: raise`, where no graph is needed."""

    def visit_If(self, node: ast.If) -> ast.AST:
        test = ast.unparse(node.test) if len(node.body) < 5 else ""
        raises = isinstance(node.body[-1], ast.Raise) and not node.orelse
        if raises and test.endswith(".grad_fn is None"):
            return ast.copy_location(ast.Pass(), node)
        return self.generic_visit(node)
