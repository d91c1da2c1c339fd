"""Steps that run the model by themselves, as `loss_of(model(inputs), targets)`.

Optimizers of federated learning are handed a model and a batch before each step, as
`optimizer.paras = inputs, targets, loss_of, model`, and run forward and backward in it.
A rule has no model, but what its loop does in a closure is just that: each such pass
becomes `loss = closure()`.
"""

import ast
from collections.abc import Iterator

from dux_sandbox.findings import Finding
from dux_sandbox.language.contract import demanded
from dux_sandbox.language.placing import placed

# A statement that reads what was handed in and is none of these decides something.
_GOES = (ast.Expr, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Assert, ast.Delete)
_CLOSURE = "closure"


def by_closure(node: ast.ClassDef) -> Iterator[Finding]:
    """Put the closure in place of the passes of a step, in place.

    Only where the step's own statements hold them one after another, and what was
    handed in decides nothing else.

    Yields:
        A note on each pass; none where the step runs none.
    """
    methods = [each for each in node.body if isinstance(each, ast.FunctionDef)]
    step = next((each for each in methods if each.name == "step"), None)
    if step is None or not any(map(_unpacks_own, step.body)):
        return
    if any(each.arg == _CLOSURE for each in _listed(step)):
        return
    passes = _Passes(_handed_in(methods), {a.arg for a in demanded(step.args, given=1)})
    body = passes.without(step.body)
    if body is None or not passes.lines:
        return
    step.body = body
    gone = passes.given
    kept = step.args
    bare = len(kept.args) - len(kept.defaults)
    for at in reversed(range(1, bare)):
        if kept.args[at].arg in gone:
            del kept.args[at]
    kept.args.insert(1, ast.copy_location(ast.arg(_CLOSURE), step))
    for line in passes.lines:
        yield Finding(
            "closure",
            line,
            "the forward and backward pass that step runs by itself is closure()",
            "write loss = closure(), which runs both",
        )


def _unpacks_own(statement: ast.stmt) -> bool:
    """`inputs, targets, loss_of, model = self.paras`."""
    unpacks = isinstance(statement, ast.Assign) and isinstance(
        statement.targets[0], ast.Tuple
    )
    return unpacks and _of_self(statement.value)  # type: ignore[attr-defined]


def _listed(step: ast.FunctionDef) -> list[ast.arg]:
    return [*step.args.posonlyargs, *step.args.args, *step.args.kwonlyargs]


def _handed_in(methods: list[ast.FunctionDef]) -> set[str]:
    """Attributes of `self` that the class itself only ever sets to None."""
    values: dict[str, set[str]] = {}
    for method in methods:
        for each in ast.walk(method):
            if isinstance(each, ast.Assign):
                for target in each.targets:
                    text = ast.unparse(target) if _of_self(target) else ""
                    values.setdefault(text, set()).add(ast.unparse(each.value))
    return {text for text, said in values.items() if text and said == {"None"}}


def _of_self(node: ast.expr) -> bool:
    owner = node.value if isinstance(node, ast.Attribute) else None
    return isinstance(owner, ast.Name) and owner.id == "self"


class _Passes:
    """Takes the passes out of a list of statements.

    Attributes:
        lines: of the passes that were found.
        given: the arguments of the step that only they need.
    """

    def __init__(self, handed: set[str], given: set[str]) -> None:
        self._handed = handed
        self._demanded = given
        self._known: set[str] = set()
        self.lines: list[int] = []
        self.given: set[str] = set()

    def without(self, body: list[ast.stmt]) -> list[ast.stmt] | None:
        """The statements left, with a closure for each pass; None where it is none."""
        left: list[ast.stmt] = []
        for each in body:
            if isinstance(each, ast.With) and not self._reads(each.items[0]):
                inner = self.without(each.body)
                if inner is None:
                    return None
                each.body = inner or [ast.copy_location(ast.Pass(), each)]
                left.append(each)
            elif self._unpacks(each):
                self._known |= _bound(each)
            elif not self._reads(each):
                self._known -= _bound(each)
                left.append(each)
            elif not isinstance(each, _GOES) or self._written_on_self(each):
                return None
            else:
                left += self._taken(each)
        return left

    def _unpacks(self, statement: ast.stmt) -> bool:
        if not isinstance(statement, ast.Assign):
            return False
        return ast.unparse(statement.value) in self._handed

    def _reads(self, node: ast.AST) -> bool:
        known = self._known
        read = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
        return bool(known & read)

    @staticmethod
    def _written_on_self(statement: ast.stmt) -> bool:
        targets = getattr(statement, "targets", None) or []
        return any(_of_self(each) for each in targets)

    def _taken(self, statement: ast.stmt) -> Iterator[ast.stmt]:
        """Nothing of a forward pass; a closure where it goes backward."""
        loss = self._backward(statement)
        if loss is None:
            self._known |= _bound(statement)
            return
        self._known.discard(loss)
        self.lines.append(statement.lineno)
        yield placed(ast.parse(f"{loss} = {_CLOSURE}()").body[0], statement)

    def _backward(self, statement: ast.stmt) -> str | None:
        """The loss of `loss.backward()`, or of a `backward(loss)` handed in."""
        call = statement.value if isinstance(statement, ast.Expr) else None
        if not isinstance(call, ast.Call):
            return None
        called = call.func
        if isinstance(called, ast.Attribute) and called.attr == "backward":
            loss: ast.expr = called.value
        elif isinstance(called, ast.Name) and "backward" in called.id and call.args:
            loss = call.args[0]
        else:
            return None
        return loss.id if isinstance(loss, ast.Name) else "loss"


def _bound(statement: ast.stmt) -> set[str]:
    return {
        each.id
        for each in ast.walk(statement)
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
    }
