"""Rules that differentiate their gradients: products of the Hessian and vectors.

A rule has no graph of the loss, but its closure gives the gradients anywhere. So
`torch.autograd.grad([p.grad ...], params, grad_outputs=vectors)` in an optimizer is
taken by central differences: the closure is evaluated twice more, a little way along
the vectors on either side. The step wants a closure then. And the gradients of what
the closure gave, `torch.autograd.grad(loss, params)`, are those that it left.
"""

import ast
import copy
from collections.abc import Iterable, Iterator

from dux_sandbox.findings import Finding
from dux_sandbox.language.backward_passes import losses_of
from dux_sandbox.language.bindings import path_of
from dux_sandbox.language.dependent_vectors import Flow, depend, flow_of, handed_in
from dux_sandbox.language.model_faces import FACE, RULE
from dux_sandbox.language.usual_values import put_first
from dux_sandbox.language.written_out import define

_PRODUCT = "hessian_product"
_GRADIENTS = "closure_gradients"
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
        if "grad_fn" in attributes:
            _Ungraphed(differentiates=False).visit(node)
        return []
    methods = [each for each in node.body if isinstance(each, ast.FunctionDef)]
    step = next((each for each in methods if each.name == "step"), None)
    calls = [
        (method, call)
        for method in methods
        if _has_self(method)
        for call in ast.walk(method)
        if isinstance(call, ast.Call)
        and path_of(call.func, aliases) == "torch.autograd.grad"
    ]
    flows = {method: flow_of(method) for method, _ in calls}
    for method, flow in flows.items():
        for name, of in handed_in(method, methods).items():
            flow.setdefault(name, set()).update(of)
    for method, call in calls:
        _as_product(call, method, flows[method])
    products = [(method, call) for method, call in calls if _of_vectors(call)]
    notes = list(_of_losses(methods, [call for _, call in calls]))
    _Ungraphed(differentiates=bool(step and products)).visit(node)
    if step is None or not products:
        return notes
    arguments = step.args
    if "closure" not in {a.arg for a in (*arguments.args, *arguments.kwonlyargs)}:
        arguments.args.append(ast.copy_location(ast.arg("closure"), step))
        arguments.defaults.append(ast.copy_location(ast.Constant(None), step))
    put_first(step, _WANTED)
    for method, call in products:
        if method.decorator_list and not _takes_self(method):
            method.decorator_list.clear()
            method.args.args.insert(0, ast.copy_location(ast.arg("self"), method))
        call.func = ast.copy_location(ast.Name(_PRODUCT, ast.Load()), call)
        call.args.insert(0, ast.copy_location(ast.Name("self", ast.Load()), call))
    return notes + [
        Finding(
            _DIFFERENCES,
            call.lineno,
            "a product of the Hessian and vectors is taken by central differences: "
            "step(closure) evaluates the closure twice more",
            "leave it as it is, and pass a closure",
        )
        for _, call in products
    ]


def _takes_self(method: ast.FunctionDef) -> bool:
    return [each.arg for each in method.args.args[:1]] == ["self"]


def _has_self(method: ast.FunctionDef) -> bool:
    """Whether it has, or as a static method that is called on it can be given it."""
    said = [ast.unparse(each) for each in method.decorator_list]
    return _takes_self(method) or said == ["staticmethod"]


def _as_product(call: ast.Call, method: ast.FunctionDef, flow: Flow) -> None:
    """Write `grad((g * v).sum(), p)` as `grad(g, p, grad_outputs=v)`, in place.

    So too with `sum((g * v).sum() for g, v in zip(slopes, vectors))`, with squares,
    whose vector is twice the gradient, and with a variable that gets one of these.
    Not where torch would differentiate the vector, too.
    """
    if _of_vectors(call) or not call.args:
        return
    taken = _given_once(call.args[0], method)
    each = taken
    inner = taken.args[0] if isinstance(taken, ast.Call) and taken.args else None
    listed = isinstance(inner, (ast.GeneratorExp, ast.ListComp))
    if listed and ast.unparse(taken.func) == "sum":  # type: ignore[attr-defined]
        each = inner.elt  # type: ignore[union-attr]
    factors = _summed(each, flow)
    if factors is None:
        return
    made = [copy.deepcopy(one) for one in factors]
    if each is not taken:
        made = [
            ast.copy_location(ast.ListComp(one, copy.deepcopy(inner.generators)), one)  # type: ignore[union-attr]
            for one in made
        ]
    call.args[0] = made[0]
    vectors = ast.keyword("grad_outputs", made[1])
    call.keywords.append(ast.copy_location(vectors, made[1]))


def _given_once(node: ast.expr, method: ast.FunctionDef) -> ast.expr:
    """What a variable gets, where a method binds it in one place; else the node."""
    if not isinstance(node, ast.Name):
        return node
    bound = [
        each
        for each in ast.walk(method)
        if isinstance(each, ast.Name)
        and each.id == node.id
        and not isinstance(each.ctx, ast.Load)
    ]
    given = [
        each.value
        for each in ast.walk(method)
        if isinstance(each, ast.Assign) and each.targets == bound
    ]
    return given[0] if given else node


def _summed(node: ast.expr, flow: Flow) -> tuple[ast.expr, ast.expr] | None:
    """The gradient and the vector of `(g * v).sum()` or `torch.sum(g * v)`."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return None
    if node.func.attr != "sum" or len(node.args) > 1 or node.keywords:
        return None
    held = node.args[0] if node.args else node.func.value
    squared = _squared(held)
    if squared is not None:
        two = ast.copy_location(ast.Constant(2), held)
        return squared, ast.copy_location(ast.BinOp(two, ast.Mult(), squared), held)
    if not isinstance(held, ast.BinOp) or not isinstance(held.op, ast.Mult):
        return None
    return None if depend(held.left, held.right, flow) else (held.left, held.right)


def _squared(node: ast.expr) -> ast.expr | None:
    """What `g * g`, `g ** 2`, `g.pow(2)`, `torch.square(g)` and the like square."""
    if isinstance(node, ast.BinOp):
        same = ast.dump(node.left) == ast.dump(node.right)
        two = ast.unparse(node.right) in ("2", "2.0")
        power = isinstance(node.op, ast.Pow) and two
        return node.left if power or (same and isinstance(node.op, ast.Mult)) else None
    called = node.func if isinstance(node, ast.Call) else None
    if not isinstance(node, ast.Call) or not isinstance(called, ast.Attribute):
        return None
    given = [*([] if _is_torch(called.value) else [called.value]), *node.args]
    texts = [ast.unparse(each) for each in given[1:]]
    known: dict[str, list[list[str]]] = {"pow": [["2"], ["2.0"]], "square": [[]]}
    squares = known.get(called.attr, [])
    return given[0] if texts in squares and not node.keywords else None


def _is_torch(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "torch"


def _of_losses(
    methods: list[ast.FunctionDef], calls: list[ast.Call]
) -> Iterator[Finding]:
    """Gradients of what `closure()` gave become those that it left, in place."""
    for method in methods:
        losses = {*losses_of(method)}
        for call in ast.walk(method) if losses else ():
            if call in calls and isinstance(call, ast.Call) and call.args:
                loss = call.args[0]
                if isinstance(loss, ast.Name) and loss.id in losses:
                    if not _of_vectors(call):
                        call.func = ast.copy_location(
                            ast.Name(_GRADIENTS, ast.Load()), call
                        )
                        message = "the gradients of a loss that closure() gave are left"
                        instead = "read p.grad: the closure has run the backward pass"
                        yield Finding(_GRADIENTS, call.lineno, message, instead)


def put_product(tree: ast.Module, notes: Iterable[Finding]) -> None:
    """Define what such products are taken by, and faces, where a note is on one.

    `from torch.autograd import grad` goes, where nothing reads it any more.
    """
    rules = {each.rule for each in notes}
    made = {_DIFFERENCES: _PRODUCT, _GRADIENTS: _GRADIENTS, RULE: FACE}
    wanted = {made[each] for each in rules & made.keys()}
    if not wanted:
        return
    define(tree, wanted)
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
    """`grad.grad_fn is None`: none has a graph, and where products are taken all do.

    Not of what a call gives, `closure().grad_fn`: it does something, too.
    """

    def __init__(self, *, differentiates: bool) -> None:
        self._differentiates = differentiates

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        asks = isinstance(node.left, ast.Attribute) and node.left.attr == "grad_fn"
        if (
            asks
            and not _calls(node)
            and ast.unparse(node).endswith((" is None", " is not None"))
        ):
            has = isinstance(node.ops[0], ast.IsNot)
            return ast.copy_location(ast.Constant(has == self._differentiates), node)
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST:
        test = ast.unparse(node.test) if len(node.body) < 5 else ""
        raises = isinstance(node.body[-1], ast.Raise) and not node.orelse
        asks = test.endswith(".grad_fn is None") and not _calls(node.test)
        if self._differentiates and raises and asks:
            return ast.copy_location(ast.Pass(), node)
        return self.generic_visit(node)


def _calls(node: ast.expr) -> bool:
    return any(isinstance(each, ast.Call) for each in ast.walk(node))
