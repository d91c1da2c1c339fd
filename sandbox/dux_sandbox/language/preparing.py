"""What is taken off a source before it is judged, since it is nothing to the rule.

Version strings, hints for type checkers, fallbacks of imports, decorators that only
speed things up. Each is read here as it would turn out where rules run; what would
change a step is said in a note.
"""

import ast
import itertools
from collections.abc import Iterable, Iterator, Sequence

from dux_sandbox.findings import Finding
from dux_sandbox.language import (
    former_tensors,
    grad_modes,
    hint_imports,
    idiom_names,
    outside,
)
from dux_sandbox.language.as_built import as_built, is_optimizer
from dux_sandbox.language.bindings import bound_names, import_aliases, path_of
from dux_sandbox.language.fallbacks import kept
from dux_sandbox.language.in_place_functions import as_methods
from dux_sandbox.language.judging import known_path
from dux_sandbox.language.parameters_first import put_parameters_first
from dux_sandbox.language.private_names import plainly
from dux_sandbox.language.records import Records
from dux_sandbox.language.second_derivatives import put_product
from dux_sandbox.language.seeding import own_seeds
from dux_sandbox.language.shapes_in_place import OF_SHAPE, rename
from dux_sandbox.language.step_arguments import steps_otherwise
from dux_sandbox.language.torch_modules import as_plain
from dux_sandbox.language.usual_values import UsualValues, marks_of, rate_of
from dux_sandbox.language.vocabulary import MODULES
from dux_sandbox.language.written_out import write_out

_LISTS = ("body", "orelse", "finalbody")
_BLOCKS = (
    *(ast.Module, ast.FunctionDef, ast.ClassDef, ast.If, ast.For, ast.While),
    *(ast.With, ast.Try, ast.ExceptHandler, ast.match_case),
)
_REQUIRED = "torch.optim.optimizer.required"
_SIX = {
    "torch._six.inf": "math.inf",
    "torch._six.container_abcs": "collections.abc",
}
# Modules of torch.optim that its own optimizers import from beside them.
_BESIDE = {"optimizer": "torch.optim.optimizer", "adam": "torch.optim.adam"}


def _looked_over(
    layers: Iterable[list[ast.AST]],
) -> tuple[dict[str, str], list[ast.AST], set[str], set[str]]:
    """What names are imported as, the nodes with blocks, and names of attributes.

    Of these again those that are written on something else than `self`.
    """
    aliases: dict[str, str] = {}
    blocks: list[ast.AST] = []
    attributes: set[str] = set()
    written: set[str] = set()
    for layer in layers:
        for node in layer:
            kind = type(node)
            if kind is ast.Import or kind is ast.ImportFrom:
                _from_torch(node)
                aliases.update(import_aliases(node))
            elif kind in _BLOCKS:
                blocks.append(node)
            elif kind is ast.Attribute:
                attributes.add(node.attr)  # type: ignore[attr-defined]
                if type(node.ctx) is ast.Store:  # type: ignore[attr-defined]
                    owner = node.value  # type: ignore[attr-defined]
                    if type(owner) is ast.Name and owner.id != "self":
                        written.add(node.attr)  # type: ignore[attr-defined]
    return aliases, blocks, attributes, written


def prepare(
    tree: ast.Module, layers: Sequence[list[ast.AST]]
) -> tuple[bool, list[Finding]]:
    """Change `tree` in place.

    Args:
        layers: its nodes, one list for each depth.

    Returns:
        Whether it was changed, and what is said about it, as notes.
    """
    changed = _name_all(tree)
    aliases, blocks, attributes, hung = _looked_over(layers)
    handed = "step" in attributes and steps_otherwise(itertools.chain(*layers))
    reshaped = not OF_SHAPE.isdisjoint(attributes)
    records, marks = Records(lambda node: path_of(node, aliases)), marks_of(tree)
    usual, optimizers = UsualValues(), set[str]()
    notes = _of_others(tree, aliases, attributes)
    changed |= bool(notes) | _as_today(tree, aliases, attributes) | write_out(tree)
    for node in blocks:
        for name in _LISTS:
            held: list[ast.stmt] = getattr(node, name, [])
            if any(type(each) in (ast.If, ast.Try) for each in held):
                left = list(kept(held, aliases)) or _something(held, node)
                changed |= left != held
                held[:] = left
        if isinstance(node, ast.ClassDef):
            changed |= records.write_out(node) | plainly(node)
            given = [*as_plain(node, aliases), *put_parameters_first(node)]
            given += usual.give(node)
            if is_optimizer(node, aliases, optimizers):
                optimizers.add(node.name)
                wraps, other, more = as_built(node, aliases, attributes, hung, handed)
                usual.class_taken |= wraps
                changed |= other
                given += more
            about = [each for each in node.body if not _about_module(each)]
            changed |= len(about) != len(node.body)
            node.body = about or [ast.copy_location(ast.Pass(), node)]
            changed |= bool(given)
            notes += given
        if isinstance(node, (ast.With, ast.FunctionDef)):
            changed |= grad_modes.plain(node, lambda each: path_of(each, aliases))
        if reshaped and isinstance(node, ast.FunctionDef):
            renamed = rename(node)
            notes += renamed
            changed |= bool(renamed)
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            before = [len(notes), len(node.decorator_list)]
            notes += _take_off(node, aliases, marks)
            changed |= before != [len(notes), len(node.decorator_list)]
    put_product(tree, notes)
    changed |= records.written(tree)
    usual.imported(tree)
    body = [each for each in tree.body if not _about_module(each)]
    changed |= len(body) != len(tree.body)
    tree.body = body
    return changed, notes


def _of_others(
    tree: ast.Module, aliases: dict[str, str], attributes: set[str]
) -> list[Finding]:
    """What is the world's, a type checker's or the training's, in place; the notes."""
    notes = outside.leave_out(tree, aliases, attributes) + hint_imports.leave_out(tree)
    return notes + own_seeds(tree, aliases, attributes)


def _as_today(tree: ast.Module, aliases: dict[str, str], attributes: set[str]) -> bool:
    """What torch has by another name, in place; whether there was any."""
    former = former_tensors.as_today(tree, aliases, attributes)
    return as_methods(tree, aliases, attributes) | former


def _from_torch(node: ast.AST) -> None:
    """`from .optimizer import Optimizer`, as torch's own files have it, in place.

    And what torch once gave out for Python 2 and 3, from where Python has it.
    """
    if not isinstance(node, ast.ImportFrom):
        return
    module = torchs_own(node)
    if module:
        node.level, node.module = 0, module
    homes = {_SIX.get(f"{node.module}.{alias.name}", "") for alias in node.names}
    home = homes.pop().rpartition(".")[0] if len(homes) == 1 else ""
    if home and not node.level:
        for alias in node.names:
            alias.asname = alias.asname or alias.name
            alias.name = _SIX[f"{node.module}.{alias.name}"].rpartition(".")[2]
        node.module = home


def _name_all(tree: ast.Module) -> bool:
    """`from torch.optim import *` brings what a source reads and binds nowhere."""
    stars = [
        each
        for each in tree.body
        if isinstance(each, ast.ImportFrom)
        and each.names[0].name == "*"
        and not each.level
        and each.module in MODULES
    ]
    nodes = [*ast.walk(tree)] if stars else []
    read = {each.id for each in nodes if isinstance(each, ast.Name)}
    for star in stars:
        known = MODULES[star.module or ""]
        named = sorted(read.intersection(known).difference(*map(bound_names, nodes)))
        # Of one that brings nothing any name stands for all.
        star.names = [ast.alias(name) for name in named or known[:1]]
    return bool(stars)


def torchs_own(node: ast.AST) -> str:
    """The module of torch.optim that one of its files imports from beside it; or ""."""
    if not isinstance(node, ast.ImportFrom) or node.level != 1:
        return ""
    module = _BESIDE.get(node.module or "", "")
    known = all(known_path(f"{module}.{alias.name}") for alias in node.names)
    return module if known else ""


def _something(held: list[ast.stmt], node: ast.AST) -> list[ast.stmt]:
    """A body may not be empty."""
    needed = held and held is getattr(node, "body", None)
    if not needed or isinstance(node, ast.Module):
        return []
    return [ast.copy_location(ast.Pass(), held[0])]


def _about_module(statement: ast.stmt) -> bool:
    """`__version__ = "1.0"`, `Rule.__doc__ = ...` and the like."""
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target: ast.expr = statement.targets[0]
    elif isinstance(statement, (ast.AugAssign, ast.AnnAssign)):
        target = statement.target
    else:
        return False
    if isinstance(target, ast.Name):
        return target.id in idiom_names.MODULE_DUNDERS
    return (
        isinstance(target, ast.Attribute)
        and target.attr == "__doc__"
        and isinstance(target.value, ast.Name)
    )


def _take_off(
    node: ast.FunctionDef | ast.ClassDef, aliases: dict[str, str], marks: set[str]
) -> Iterator[Finding]:
    kept: list[ast.expr] = []
    for decorator in node.decorator_list:
        called = isinstance(decorator, ast.Call)
        path = path_of(decorator.func if called else decorator, aliases)  # type: ignore[attr-defined]
        if path in idiom_names.SPEED:
            yield Finding(
                "left out",
                decorator.lineno,
                f"the decorator {path}, which only speeds {node.name} up",
                "leave it out",
            )
        elif isinstance(node, ast.ClassDef) and _registers(decorator):
            yield Finding(
                "left out",
                decorator.lineno,
                f"the decorator {ast.unparse(decorator)[:60]}, which only says where "
                f"{node.name} is to be found",
                "leave it out",
            )
        elif path not in idiom_names.SAYING:
            kept.append(decorator)
    node.decorator_list = kept
    if isinstance(node, ast.FunctionDef):
        must = {_REQUIRED, *marks}
        yield from rate_of(
            node, lambda each: bool({path_of(each, aliases), ast.unparse(each)} & must)
        )
    if isinstance(node, ast.ClassDef):
        yield from _never_shared(node)
        node.bases = [b for b in node.bases if not _says_only(b, aliases)]
        node.keywords = [
            keyword
            for keyword in node.keywords
            if path_of(keyword.value, aliases) != "abc.ABCMeta"
        ]


def _registers(decorator: ast.expr) -> bool:
    """`@REGISTRY.register()`, `@register_optimizer("name")` and the like."""
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    last = called.attr if isinstance(called, ast.Attribute) else ast.unparse(called)
    return last.lower().startswith("register")


def _never_shared(node: ast.ClassDef) -> Iterator[Finding]:
    """`share_memory` of a rule is called by nobody here, and may not be."""
    for statement in list(node.body):
        if isinstance(statement, ast.FunctionDef) and statement.name == "share_memory":
            node.body.remove(statement)
            node.body = node.body or [ast.copy_location(ast.Pass(), statement)]
            yield Finding(
                "left out",
                statement.lineno,
                "the method share_memory: the memory of a rule is never shared",
                "leave it out",
            )


def _says_only(base: ast.expr, aliases: dict[str, str]) -> bool:
    base = base.value if isinstance(base, ast.Subscript) else base
    return path_of(base, aliases) in idiom_names.SAYING_BASES
