"""How functions, classes and imports are judged and rewritten."""

import ast
from collections.abc import Iterator, Sequence

from dux_sandbox.findings import Finding
from dux_sandbox.language import torch_names, vocabulary
from dux_sandbox.language.bindings import import_aliases
from dux_sandbox.language.judging import known_path
from dux_sandbox.language.scoping import Scoping

_METHODS = frozenset(["__init__", "__setstate__", "__call__"])
_LEFT_OUT = frozenset(["__repr__", "__str__"])
_BASE_PATHS = frozenset(
    [f"torch.optim.{name}" for name in torch_names.BASES]
    + ["torch.optim.optimizer.Optimizer", "torch.optim.adam.Adam"]
)


def base_path(path: str | None) -> str | None:
    """The name of torch's optimizer that a dotted path stands for, or None."""
    return path.rpartition(".")[2] if path in _BASE_PATHS else None


class Definitions(Scoping):
    """Functions, classes and imports."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Annotations go; `__repr__` and `__str__` are judged and then left out."""
        in_class = self.scopes[-1:] == ["class"]
        magic = node.name.startswith("__") and node.name.endswith("__")
        if in_class and magic:
            if node.name not in _METHODS and node.name not in _LEFT_OUT:
                self.found(
                    "class",
                    node,
                    f"the method {node.name}",
                    "give the method a plain name",
                )
        else:
            self.check_name(node, node.name)
        taken = torch_names.OPTIMIZER_OWN - torch_names.OPTIMIZER_OVERRIDABLE
        taken -= torch_names.OF_STOCK_OPTIMIZERS
        if in_class and node.name in taken:
            self._own_name(node, node.name)
        self.check_annotation(node.returns)
        node.returns = None
        self.check_arguments(node.args)
        # Decorators and defaults are computed outside of the function.
        node.decorator_list = [self.visit(d) for d in node.decorator_list]
        node.args = self.visit(node.args)
        for parameter in getattr(node, "type_params", []):
            self.visit(parameter)
        self.scopes.append("def")
        outside, self.inside_with = self.inside_with, 0
        node.body = _flat(self.visit(statement) for statement in node.body)
        self.inside_with = outside
        self.scopes.pop()
        if _generates(node.body):
            node.decorator_list.append(self.load("@generating", node))
        if in_class and node.name in _LEFT_OUT:
            return ast.copy_location(ast.Pass(), node)
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        """Arguments are named as anywhere else."""
        self.check_arguments(node.args)
        if _generates([node.body]):
            self.found("statement", node, "yield inside lambda", "write a def")
        self.scopes.append("def")
        made = self.node_contents_visit(node)
        self.scopes.pop()
        return made

    def check_arguments(self, arguments: ast.arguments) -> None:
        """Names of every kind of parameter; their annotations are taken away."""
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        every += [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
        for argument in every:
            self.check_name(argument, argument.arg)
            self.check_annotation(argument.annotation)
            argument.annotation = None

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """Classes on allowed bases, made by our own metaclass function."""
        self.check_name(node, node.name)
        if node.keywords or getattr(node, "type_params", []):
            self.found(
                "class", node, "a class keyword", "write class Name(Optimizer): only"
            )
        if node.decorator_list:
            instead = "write a plain class with __init__"
            self.found("class", node, "a class decorator", instead)
        for base in node.bases:
            self._check_base(base)
        node.bases = [self.visit(base) for base in node.bases]
        self.scopes.append("class")
        outside, self.inside_with = self.inside_with, 0
        node.body = self.judged_body(node)
        self.inside_with = outside
        self.scopes.pop()
        made = self.load("@metaclass", node)
        keyword = ast.copy_location(ast.keyword("metaclass", made), node)
        node.keywords, node.decorator_list = [keyword], []
        return node

    def judged_body(self, node: ast.ClassDef) -> list[ast.stmt]:
        """The body of a class, statement by statement."""
        return _flat(self.visit(statement) for statement in node.body)

    def _check_base(self, base: ast.expr) -> None:
        if base_path(self.path(base)) is not None:
            return
        if isinstance(base, ast.Name) and base.id not in self.bindings.modules:
            if base.id in self.bindings.names or base.id == "object":
                return  # a class of the source's own: judged when it is made
        self.found(
            "class",
            base,
            f"a class built on {ast.unparse(base)[:60]}",
            "build on torch.optim.Optimizer, or on nothing for a helper",
        )

    # Imports

    def visit_Import(self, node: ast.Import) -> ast.AST | list[ast.stmt]:
        """`import torch.nn as nn` binds a facade; nothing is imported."""
        for alias in node.names:
            if alias.name not in vocabulary.MODULES:
                self._no_module(node, alias.name)
        return self._bound(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | list[ast.stmt]:
        """`from torch import nn` binds a name of the facade."""
        if node.module == "__future__" and not node.level:
            return ast.copy_location(ast.Pass(), node)
        module = node.module or ""
        if node.level or module not in vocabulary.MODULES:
            self._no_module(node, "." * node.level + module)
            return node
        for alias in node.names:
            if alias.name == "*":
                self.found(
                    "import", node, f"from {module} import *", f"import {module}"
                )
            elif not known_path(f"{module}.{alias.name}"):
                if (alias.asname or alias.name) in self.unread():
                    what = f"the import of {module}.{alias.name}, which nothing uses"
                    note = Finding("left out", node.lineno, what, "leave it out")
                    self.notes.append(note)
                else:
                    self._not_in_module(node, module, alias.name)
        return self._bound(node)

    def unread(self) -> frozenset[str]:
        """Names that imports bind and nothing mentions."""
        return frozenset()

    def _no_module(self, node: ast.AST, name: str) -> None:
        names = [*reversed(name.split(".")), name]
        known = [vocabulary.INSTEAD[n] for n in names if n in vocabulary.INSTEAD]
        default = "use torch, math, typing, collections, functools or itertools"
        if name.startswith("."):
            default = (
                "write what is used of that file into this one; "
                "`dux check --with FILE` judges both as one source"
            )
        self.found("import", node, f"import of {name}", known[0] if known else default)

    def _bound(self, node: ast.Import | ast.ImportFrom) -> ast.AST | list[ast.stmt]:
        made: list[ast.stmt] = []
        for alias, path in import_aliases(node):
            self.check_name(node, alias)
            if alias in self.bindings.modules or not known_path(path):
                continue
            target = ast.copy_location(ast.Name(alias, ast.Store()), node)
            bound = ast.Assign([target], self.load(torch_names.global_of(path), node))
            made.append(ast.copy_location(bound, node))
        return made or [ast.copy_location(ast.Pass(), node)]


def _generates(body: Sequence[ast.AST]) -> bool:
    """Whether a function with this body is a generator."""
    left = list(body)
    while left:
        node = left.pop()
        if isinstance(node, (ast.Yield, ast.YieldFrom)):
            return True
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Lambda)):
            left.extend(ast.iter_child_nodes(node))
    return False


def _flat(visited: Iterator[ast.AST | list[ast.stmt]]) -> list[ast.stmt]:
    """Visitors give one statement or several."""
    statements: list[ast.stmt] = []
    for item in visited:
        statements.extend(item if isinstance(item, list) else [item])  # type: ignore[list-item]
    return statements
