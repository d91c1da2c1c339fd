"""What a source binds: its names, the attributes it defines, its import aliases."""

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field


@dataclass
class Bindings:
    """Every name and attribute that one source defines, over all its scopes.

    Attributes:
        names: how often each variable name is bound anywhere in the source.
        attributes: names stored on an object or defined in a class body.
        modules: import aliases that nothing but imports of one thing ever binds, with
            the dotted path they stand for: {"F": "torch.nn.functional"}. Uses of
            these are resolved before the source runs.
        classes: classes at the top level, by name.
        variables: names that statements at the top level assign to.
    """

    names: dict[str, int] = field(default_factory=dict)
    attributes: set[str] = field(default_factory=set)
    modules: dict[str, str] = field(default_factory=dict)
    classes: dict[str, ast.ClassDef] = field(default_factory=dict)
    variables: set[str] = field(default_factory=set)


def levels(tree: ast.AST) -> Iterator[list[ast.AST]]:
    """The nodes of a tree, one list for each depth.

    Twice as fast as ast.walk, which counts: a check has 10 ms.
    """
    level = [tree]
    while level:
        yield level
        below: list[ast.AST] = []
        for node in level:
            for name in node._fields:
                value = getattr(node, name, None)
                if type(value) is list:
                    below += [item for item in value if isinstance(item, ast.AST)]
                elif isinstance(value, ast.AST) and value._fields:
                    below.append(value)
        level = below


_NAMING = frozenset(["getattr", "hasattr", "setattr"])


def _bound_by_name(node: ast.Name) -> Iterable[str]:
    return () if type(node.ctx) is ast.Load else (node.id,)


def _bound_by_import(node: ast.Import | ast.ImportFrom) -> Iterable[str]:
    return [alias.asname or alias.name.partition(".")[0] for alias in node.names]


# What torch has under two names, by the longer one.
_ONE = {
    "torch.optim.optimizer.Optimizer": "torch.optim.Optimizer",
    "torch.optim.adam.Adam": "torch.optim.Adam",
    "torch.nn.parameter.Parameter": "torch.nn.Parameter",
    "torch.nn.utils.clip_grad.clip_grad_norm_": "torch.nn.utils.clip_grad_norm_",
    "torch.nn.utils.clip_grad.clip_grad_value_": "torch.nn.utils.clip_grad_value_",
}
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)

# Every kind of node that binds a name, whatever the kind of binding.
_BINDERS: dict[type[ast.AST], Callable[..., Iterable[str | None]]] = {
    ast.Name: _bound_by_name,
    ast.FunctionDef: lambda node: (node.name,),
    ast.AsyncFunctionDef: lambda node: (node.name,),
    ast.ClassDef: lambda node: (node.name,),
    ast.arg: lambda node: (node.arg,),
    ast.ExceptHandler: lambda node: (node.name,),
    ast.Import: _bound_by_import,
    ast.ImportFrom: _bound_by_import,
    ast.MatchAs: lambda node: (node.name,),
    ast.MatchStar: lambda node: (node.name,),
    ast.MatchMapping: lambda node: (node.rest,),
    ast.Global: lambda node: node.names,
    ast.Nonlocal: lambda node: node.names,
}


def bound_names(node: ast.AST) -> Iterator[str]:
    """The names that `node` itself binds."""
    binder = _BINDERS.get(type(node))
    if binder is not None:
        for name in binder(node):
            if name is not None:
                yield name


def collect(
    tree: ast.Module, layers: Iterable[list[ast.AST]] | None = None
) -> Bindings:
    """Read off `tree` what it binds; `tree` is not changed.

    Args:
        layers: what `levels(tree)` gives, where it is known already.
    """
    bindings = Bindings()
    imports: list[ast.AST] = []
    for level in levels(tree) if layers is None else layers:
        for node in level:
            kind = type(node)
            if kind is ast.Attribute:
                if type(node.ctx) is ast.Store:  # type: ignore[attr-defined]
                    bindings.attributes.add(node.attr)  # type: ignore[attr-defined]
            elif kind is ast.Call:
                _defined_by_call(node, bindings)  # type: ignore[arg-type]
            elif kind in _BINDERS:
                for name in bound_names(node):
                    bindings.names[name] = bindings.names.get(name, 0) + 1
                if kind is ast.ClassDef:
                    for statement in node.body:  # type: ignore[attr-defined]
                        bindings.attributes.update(_names_in_class(statement))
                elif kind is ast.Import or kind is ast.ImportFrom:
                    imports.append(node)
    for statement in tree.body:
        if isinstance(statement, ast.ClassDef):
            bindings.classes[statement.name] = statement
        elif isinstance(statement, (ast.Assign, ast.AnnAssign)):
            targets = getattr(statement, "targets", None) or [statement.target]  # type: ignore[union-attr]
            bindings.variables |= {t.id for t in targets if isinstance(t, ast.Name)}
    bindings.modules = _known_imports(imports, bindings.names)
    return bindings


def _defined_by_call(node: ast.Call, bindings: Bindings) -> None:
    """setattr(self, "name", value) defines an attribute as well, and a named tuple
    those of its fields; one that is asked for with hasattr, or with getattr and a
    default, may be there."""
    called = node.func
    last = (
        called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    )
    if last.endswith("namedtuple") and len(node.args) > 1:
        for part in ast.walk(node.args[1]):
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                bindings.attributes.update(part.value.replace(",", " ").split())
        return
    if not isinstance(node.func, ast.Name) or node.func.id not in _NAMING:
        return
    if node.func.id == "getattr" and len(node.args) < 3:
        return
    name = node.args[1] if len(node.args) > 1 else None
    if isinstance(name, ast.Constant) and isinstance(name.value, str):
        bindings.attributes.add(name.value)


def import_aliases(statement: ast.AST) -> Iterator[tuple[str, str]]:
    """Pairs of (name bound, dotted path it stands for) of one import statement."""
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            if alias.asname is not None:
                yield alias.asname, alias.name
            else:
                top = alias.name.partition(".")[0]
                yield top, top
    elif (
        isinstance(statement, ast.ImportFrom)
        and statement.module
        and not (statement.level)
    ):
        for alias in statement.names:
            yield alias.asname or alias.name, f"{statement.module}.{alias.name}"


def aliases_in(tree: ast.AST) -> dict[str, str]:
    """What every name that an import binds anywhere stands for; the last one counts."""
    return dict(pair for node in ast.walk(tree) for pair in import_aliases(node))


def _names_in_class(statement: ast.stmt) -> Iterator[str]:
    """Names that a statement of a class body adds to the class."""
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        yield statement.name
        return
    # What is inside an inner class or function is no name of this class; each node is
    # met for one class only, however deep they are nested.
    left: list[ast.AST] = [statement]
    while left:
        node = left.pop()
        yield from bound_names(node)
        if not isinstance(node, _SCOPES):
            left.extend(ast.iter_child_nodes(node))


def _known_imports(imports: list[ast.AST], names: dict[str, int]) -> dict[str, str]:
    """Aliases that stand for one thing wherever they are bound at all.

    `import torch` and `import torch.nn` bind one name to one thing, however often.
    """
    paths: dict[str, set[str]] = {}
    times: dict[str, int] = {}
    for node in imports:
        for alias, path in import_aliases(node):
            paths.setdefault(alias, set()).add(_ONE.get(path, path))
            times[alias] = times.get(alias, 0) + 1
    return {
        alias: next(iter(found))
        for alias, found in paths.items()
        if len(found) == 1 and names.get(alias) == times[alias]
    }


def path_of(node: ast.AST, aliases: dict[str, str]) -> str | None:
    """The dotted path that a name or attribute stands for, by the imports."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id not in aliases:
        return None
    return ".".join([aliases[node.id], *reversed(names)])
