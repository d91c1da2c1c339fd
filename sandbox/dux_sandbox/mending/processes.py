"""What a source asks about other processes: a rule is trained in one.

Where the comparison is made it is so; one of several would answer otherwise, and the
change says that. What hangs on an environment or a clock is not written down.
"""

import ast
import functools
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from dux_sandbox.findings import Finding
from dux_sandbox.gathering.text_edits import Edit
from dux_sandbox.language.bindings import aliases_in, path_of
from dux_sandbox.mending.draft import Draft, Rewrite

_ANSWERS: Mapping[str, Any] = {
    "torch.distributed.is_available": False,
    "torch.distributed.is_initialized": False,
    "torch.distributed.get_rank": 0,
    "torch.distributed.get_world_size": 1,
}
_COMPARED: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
}
_PLAIN = (bool, int, float)
_MOST_DEPTH = 20


class _Unknown(Exception):
    """Nothing is known of an expression."""


def alone(draft: Draft, findings: Iterable[Finding]) -> Rewrite:
    """`if dist.is_initialized():` goes, and `dist.get_world_size()` becomes 1.

    Where a finding is about such a question, or about what hangs on its answer.
    """
    folding = _Folding(draft, draft.at(findings))
    folding.visit(draft.tree)
    folding.tell_dead()
    return Rewrite(tuple(folding.edits), tuple(folding.gone), tuple(folding.told))


class _Folding:
    def __init__(self, draft: Draft, lines: set[int]) -> None:
        self._draft = draft
        self._lines = lines
        self._answers = _Answers(draft)
        self.edits: list[Edit] = []
        self.gone: list[ast.stmt] = []
        self._dead: list[ast.If] = []
        self.told: list[tuple[int, str, int | None]] = []

    def visit(self, node: ast.AST) -> None:
        """Write down what a node and those in it come to, where they are refused."""
        begin = getattr(node, "lineno", 0)
        end = getattr(node, "end_lineno", None) or begin
        if begin and not self._lines & set(range(begin, end + 1)):
            return
        if begin and not self._draft.may_touch(begin):
            return
        if isinstance(node, ast.If) and self._answers.asks(node.test):
            self._branch(node, bool(self._answers.value(node.test)))
        elif isinstance(node, ast.IfExp) and self._answers.asks(node.test):
            taken = bool(self._answers.value(node.test))
            left = node.body if taken else node.orelse
            written = self._draft.written(left)
            plain = isinstance(left, (ast.Constant, ast.Name))
            self._write(node, written if plain else f"({written})")
        elif isinstance(node, ast.expr) and self._answers.asks(node):
            self._write(node, repr(self._answers.value(node)))
        else:
            for child in ast.iter_child_nodes(node):
                self.visit(child)

    def tell_dead(self) -> None:
        """Say of each block that goes as a whole what its question comes to."""
        for node in self._dead:
            past = self._draft.line_beside(node, self.gone)
            self._tell(node.test, "False", past)

    def _branch(self, node: ast.If, taken: bool) -> None:
        if not taken and not node.orelse:
            self._dead.append(node)
            self.gone.append(node)
            return
        self._write(node.test, repr(taken))
        self.gone += node.orelse if taken else node.body
        for each in node.body if taken else node.orelse:
            self.visit(each)

    def _write(self, node: ast.expr, new: str) -> None:
        self.edits.append(Edit.of(node, new))
        self._tell(node, new, node.lineno)

    def _tell(self, node: ast.expr, new: str, past: int) -> None:
        what = (
            f"{self._draft.written(node)[:60]} is written as {new[:60]}, as where one "
            f"process trains"
        )
        self.told.append((node.lineno, what, past))


class _Answers:
    """What expressions come to where one process trains."""

    def __init__(self, draft: Draft) -> None:
        self._aliases = aliases_in(draft.tree)
        self._functions = {
            each.name: each
            for each in draft.tree.body
            if isinstance(each, ast.FunctionDef)
        }
        self._kept = _kept_once(draft.tree)
        self._asked = False

    def asks(self, node: ast.expr) -> bool:
        """Whether an expression hangs on such an answer, and on nothing else."""
        self._asked = False
        if not isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
            return False
        try:
            return isinstance(self.value(node), _PLAIN) and self._asked
        except _Unknown:
            return False

    def value(self, node: ast.expr, depth: int = 0) -> Any:
        """What an expression comes to.

        Raises:
            _Unknown: nobody knows.
        """
        if depth > _MOST_DEPTH:
            raise _Unknown
        inner = functools.partial(self.value, depth=depth + 1)
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Call):
            return self._called(node, depth)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return not inner(node.operand)
        if isinstance(node, ast.BoolOp):
            wanted = isinstance(node.op, ast.Or)
            for each in node.values:
                value = inner(each)
                if bool(value) is wanted:
                    break
            return value
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            return self._compared(node, depth)
        if isinstance(node, ast.IfExp):
            return inner(node.body if inner(node.test) else node.orelse)
        if isinstance(node, (ast.Name, ast.Attribute)):
            return inner(self._bound(node))
        raise _Unknown

    def _called(self, node: ast.Call, depth: int) -> Any:
        path = path_of(node.func, self._aliases) or ""
        if path in _ANSWERS:
            self._asked = True
            return _ANSWERS[path]
        if isinstance(node.func, ast.Name) and node.func.id in self._functions:
            return self._returned(self._functions[node.func.id].body, depth + 1)
        raise _Unknown

    def _compared(self, node: ast.Compare, depth: int) -> Any:
        kind, other = node.ops[0], node.comparators[0]
        if type(kind) not in _COMPARED:
            raise _Unknown
        compare = _COMPARED[type(kind)]
        try:
            return compare(
                self.value(node.left, depth + 1), self.value(other, depth + 1)
            )
        except TypeError:
            raise _Unknown from None

    def _returned(self, body: list[ast.stmt], depth: int) -> Any:
        """What a function gives that does nothing but ask and answer."""
        for statement in body:
            if isinstance(statement, ast.Return) and statement.value is not None:
                return self.value(statement.value, depth)
            if isinstance(statement, ast.If):
                taken = self.value(statement.test, depth)
                rest = body[body.index(statement) + 1 :]
                next_ones = statement.body if taken else statement.orelse
                return self._returned([*next_ones, *rest], depth + 1)
            documents = isinstance(statement, ast.Expr) and isinstance(
                statement.value, ast.Constant
            )
            if not documents:
                break
        raise _Unknown

    def _bound(self, node: ast.Name | ast.Attribute) -> ast.expr:
        """The only expression that a name, or an attribute of self, is bound to."""
        found = self._kept.get(ast.unparse(node))
        if found is None:
            raise _Unknown
        return found


def _kept_once(tree: ast.Module) -> dict[str, ast.expr]:
    """By name, or attribute of self, the value of those that are bound once."""
    bound: dict[str, list[ast.expr | None]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            bound.setdefault(node.arg, []).append(None)
        elif isinstance(node, ast.Assign) and len(node.targets) == 1:
            bound.setdefault(ast.unparse(node.targets[0]), []).append(node.value)
        elif isinstance(node, (ast.Name, ast.Attribute)):
            if not isinstance(node.ctx, ast.Load):
                bound.setdefault(ast.unparse(node), []).append(None)
    # An assignment is seen twice: as that, and by its target.
    return {
        name: values[0]
        for name, values in bound.items()
        if len(values) == 2 and isinstance(values[0], ast.expr) and values[1] is None
    }
