"""`helper.x`, where `helper` is a file at hand: which symbol that is."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from dux_sandbox.gathering.linking import Linker
from dux_sandbox.gathering.modules import SourceFile
from dux_sandbox.gathering.reading import CannotJoin, Link, Module, Symbol
from dux_sandbox.gathering.text_edits import CannotEdit, Edit, text_at


@dataclass(frozen=True)
class Use:
    """One use of a name in a module.

    Attributes:
        node: the whole of `helper.x`; the name alone where it is used otherwise.
        root: the name that it begins with.
        found: what it stands for, or why nothing.
    """

    node: ast.expr
    root: ast.Name
    found: Symbol | CannotJoin

    @property
    def symbol(self) -> Symbol:
        """What it stands for.

        Raises:
            CannotJoin: nothing.
        """
        if isinstance(self.found, CannotJoin):
            raise self.found
        return self.found

    def edit(self, lines: list[str], new: str) -> Edit:
        """The edit that writes the symbol's name there.

        Raises:
            CannotEdit: it is not where the tree has it.
        """
        edit = Edit.of(self.node, new)
        if "".join(text_at(lines, edit).split()) != ast.unparse(self.node):
            raise CannotEdit(self.node.lineno)
        return edit


def uses_of_modules(linker: Linker, module: Module) -> Iterator[Use]:
    """Every use of a module that is a file at hand, or of what stands for nothing."""
    around = {
        node.value: node
        for node in ast.walk(module.about.tree)
        if isinstance(node, ast.Attribute)
    }
    for (scope, name), link in module.links.items():
        for use in scope.uses.get(name, ()):
            if link.fault is not None:
                yield Use(use, use, link.fault)
            elif link.modules:
                yield _use(linker, module, link, use, around)


def _use(
    linker: Linker,
    module: Module,
    link: Link,
    root: ast.Name,
    around: dict[ast.expr, ast.Attribute],
) -> Use:
    files = dict(link.modules)
    at: ast.expr = root
    path: list[str] = []
    file = files.get("")
    while at in around:
        node = around[at]
        handed: SourceFile | None = None
        if file is not None and isinstance(node.ctx, ast.Load):
            try:
                handed = linker.module_of(file, node.attr)
                symbol = None if handed else linker.symbol(file, node.attr)
            except CannotJoin as error:
                return Use(root, root, error)
            if symbol is not None:
                return Use(node, root, symbol)
        path.append(node.attr)
        file = files.get(".".join(path)) if handed is None else handed.name
        at = node
    told = f"the module {root.id} is used as a value"
    if path:
        told = f"{root.id}.{'.'.join(path)} is nothing that {_named(files)} defines"
    fault = CannotJoin(
        module.file.name,
        root.lineno,
        told,
        "import the names that are used: from module import name",
    )
    return Use(root, root, fault)


def _named(files: dict[str, str]) -> str:
    return " or ".join(dict.fromkeys(files.values()))
