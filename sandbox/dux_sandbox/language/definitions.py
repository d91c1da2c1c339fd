"""How functions, classes and imports are judged and rewritten."""

import ast
from collections.abc import Iterator, Sequence

from dux_sandbox.findings import Finding
from dux_sandbox.language import torch_names, vocabulary
from dux_sandbox.language.bindings import import_aliases
from dux_sandbox.language.judging import Handlers, Judging, known_path
from dux_sandbox.language.names import not_in_module, refuse_own
from dux_sandbox.language.never_reached import judged_body
from dux_sandbox.language.torch_names import base_path

_METHODS = frozenset(["__init__", "__setstate__", "__call__"])
_LEFT_OUT = frozenset(["__repr__", "__str__"])


def _function_def(policy: Judging, node: ast.FunctionDef) -> ast.AST:
    """Annotations go; `__repr__` and `__str__` are judged and then left out."""
    in_class = policy.scopes[-1:] == ["class"]
    magic = node.name.startswith("__") and node.name.endswith("__")
    if in_class and magic:
        if node.name not in _METHODS and node.name not in _LEFT_OUT:
            policy.found(
                "class",
                node,
                f"the method {node.name}",
                "give the method a plain name",
            )
    else:
        policy.check_name(node, node.name)
    taken = torch_names.OPTIMIZER_OWN - torch_names.OPTIMIZER_OVERRIDABLE
    taken -= torch_names.OF_STOCK_OPTIMIZERS
    own = policy.helpers.may_define(policy.inside, node.name)
    if in_class and node.name in taken and not own:
        refuse_own(policy, node, node.name)
    policy.check_annotation(node.returns)
    node.returns = None
    check_arguments(policy, node.args)
    # Decorators and defaults are computed outside of the function.
    node.decorator_list = [policy.visit(d) for d in node.decorator_list]
    node.args = policy.visit(node.args)
    for parameter in getattr(node, "type_params", []):
        policy.visit(parameter)
    policy.scopes.append("def")
    outside, policy.inside_with = policy.inside_with, 0
    node.body = _flat(policy.visit(statement) for statement in node.body)
    policy.inside_with = outside
    policy.scopes.pop()
    if _generates(node.body):
        node.decorator_list.append(policy.load("@generating", node))
    if in_class and node.name in _LEFT_OUT:
        return ast.copy_location(ast.Pass(), node)
    return node


def _lambda(policy: Judging, node: ast.Lambda) -> ast.AST:
    """Arguments are named as anywhere else."""
    check_arguments(policy, node.args)
    if _generates([node.body]):
        policy.found("statement", node, "yield inside lambda", "write a def")
    policy.scopes.append("def")
    made = policy.node_contents_visit(node)
    policy.scopes.pop()
    return made


def check_arguments(policy: Judging, arguments: ast.arguments) -> None:
    """Names of every kind of parameter; their annotations are taken away."""
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    every += [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
    for argument in every:
        policy.check_name(argument, argument.arg)
        policy.check_annotation(argument.annotation)
        argument.annotation = None


def _class_def(policy: Judging, node: ast.ClassDef) -> ast.AST:
    """Classes on allowed bases, made by our own metaclass function."""
    policy.check_name(node, node.name)
    if node.keywords or getattr(node, "type_params", []):
        policy.found(
            "class", node, "a class keyword", "write class Name(Optimizer): only"
        )
    if node.decorator_list:
        instead = "write a plain class with __init__"
        policy.found("class", node, "a class decorator", instead)
    for base in node.bases:
        _check_base(policy, base)
    node.bases = [policy.visit(base) for base in node.bases]
    # In a class inside of another one, and in one that a function makes, nothing is
    # a helper's own.
    around, policy.inside = policy.inside, "" if policy.scopes else node.name
    policy.scopes.append("class")
    outside, policy.inside_with = policy.inside_with, 0
    node.body = judged_body(policy, node)
    policy.inside_with, policy.inside = outside, around
    policy.scopes.pop()
    made = policy.load("@metaclass", node)
    keyword = ast.copy_location(ast.keyword("metaclass", made), node)
    node.keywords, node.decorator_list = [keyword], []
    return node


def _check_base(policy: Judging, base: ast.expr) -> None:
    if base_path(policy.path(base)) is not None:
        return
    if isinstance(base, ast.Name) and base.id not in policy.bindings.modules:
        if base.id in policy.bindings.names or base.id == "object":
            return  # a class of the source's own: judged when it is made
    policy.found(
        "class",
        base,
        f"a class built on {ast.unparse(base)[:60]}",
        "build on torch.optim.Optimizer, or on nothing for a helper",
    )


# Imports


def _import(policy: Judging, node: ast.Import) -> ast.AST | list[ast.stmt]:
    """`import torch.nn as nn` binds a facade; nothing is imported."""
    for alias in node.names:
        if alias.name not in vocabulary.MODULES:
            _no_module(policy, node, alias.name)
    return _bound(policy, node)


def _import_from(policy: Judging, node: ast.ImportFrom) -> ast.AST | list[ast.stmt]:
    """`from torch import nn` binds a name of the facade."""
    if node.module == "__future__" and not node.level:
        return ast.copy_location(ast.Pass(), node)
    module = node.module or ""
    if node.level or module not in vocabulary.MODULES:
        _no_module(policy, node, "." * node.level + module)
        return node
    for alias in node.names:
        if alias.name == "*":
            policy.found("import", node, f"from {module} import *", f"import {module}")
        elif not known_path(f"{module}.{alias.name}"):
            if (alias.asname or alias.name) in policy.unreached().unread:
                what = f"the import of {module}.{alias.name}, which nothing uses"
                note = Finding("left out", node.lineno, what, "leave it out")
                policy.notes.append(note)
            else:
                not_in_module(policy, node, module, alias.name)
    return _bound(policy, node)


def _no_module(policy: Judging, node: ast.AST, name: str) -> None:
    names = [*reversed(name.split(".")), name]
    known = [vocabulary.INSTEAD[n] for n in names if n in vocabulary.INSTEAD]
    default = "use torch, math, typing, collections, functools or itertools"
    if name.startswith("."):
        default = (
            "write what is used of that file into this one; "
            "`dux check --with FILE` judges both as one source"
        )
    policy.found("import", node, f"import of {name}", known[0] if known else default)


def _bound(
    policy: Judging, node: ast.Import | ast.ImportFrom
) -> ast.AST | list[ast.stmt]:
    made: list[ast.stmt] = []
    for alias, path in import_aliases(node):
        policy.check_name(node, alias)
        if alias in policy.bindings.modules or not known_path(path):
            continue
        target = ast.copy_location(ast.Name(alias, ast.Store()), node)
        bound = ast.Assign([target], policy.load(torch_names.global_of(path), node))
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


HANDLERS: Handlers = {
    "FunctionDef": _function_def,
    "Lambda": _lambda,
    "ClassDef": _class_def,
    "Import": _import,
    "ImportFrom": _import_from,
}
"""What is called for a node, by the name of its kind."""
