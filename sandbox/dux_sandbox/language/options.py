"""What options of a rule are, read off its text: it is built as `Rule(params)`."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from dux_sandbox.language import idiom_names
from dux_sandbox.language.bindings import Bindings, bound_names
from dux_sandbox.language.contract import lineage
from dux_sandbox.language.step_arguments import steps_otherwise

_UNKNOWN = object()
# What a rule gets as an answer, always; see `dux_sandbox.runtime.idioms`.
_NEVER = frozenset(
    [f"torch.cuda.{name}" for name in idiom_names.CUDA]
    + ["torch.jit.is_scripting", "torch.jit.is_tracing"]
)
_COMPARED: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


@dataclass
class Options:
    """Values that are known before a rule runs.

    Attributes:
        modules: what the imported names stand for.
        globals: constants of the module that are bound once.
        attributes: of `self`, those that one constructor alone writes.
        arguments: of the constructor of the rule and of its step, with the defaults
            that they have whenever a training calls them.
    """

    modules: dict[str, str] = field(default_factory=dict)
    globals: dict[str, object] = field(default_factory=dict)
    attributes: dict[str, object] = field(default_factory=dict)
    arguments: dict[ast.FunctionDef, dict[str, object]] = field(default_factory=dict)

    @classmethod
    def of(cls, tree: ast.Module, bindings: Bindings, rule: str) -> Options:
        """Read them off `tree`, whose class `rule` is built with its parameters."""
        made = cls(bindings.modules)
        for name, value in _constants(tree.body):
            if bindings.names.get(name) == 1:
                made.globals[name] = value
        chain = lineage(rule, bindings)
        step, init = _method(chain, "step"), _method(chain, "__init__")
        if step is not None and not steps_otherwise(ast.walk(tree)):
            made.arguments[step] = dict(_defaults(step))
            made.arguments[step].pop("closure", None)
        if init is not None:
            made.arguments[init] = dict(_defaults(init))
            written = _attributes_written(tree)
            for statement in init.body:
                attribute = _attribute_of_self(statement)
                if attribute is not None and written.get(attribute) == 1:
                    assert isinstance(statement, ast.Assign)
                    value = made.value(statement.value, init)
                    if value is not _UNKNOWN:
                        made.attributes[attribute] = value
        return made

    def truth(self, test: ast.expr, function: ast.FunctionDef | None) -> bool | None:
        """Whether a test holds, where that is known.

        Args:
            function: in which it stands.
        """
        value = self.value(test, function)
        return None if value is _UNKNOWN else bool(value)

    def value(self, node: ast.expr, function: ast.FunctionDef | None) -> object:
        """What an expression is; a mark of its own where that is not known."""
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name):
            given = self.arguments.get(function, {}) if function is not None else {}
            if node.id in given:
                return given[node.id]
            return self.globals.get(node.id, _UNKNOWN)
        if isinstance(node, ast.Attribute):
            if isinstance(node.value, ast.Name) and node.value.id == "self":
                return self.attributes.get(node.attr, _UNKNOWN)
        elif isinstance(node, ast.Call):
            return False if self._path(node.func) in _NEVER else _UNKNOWN
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            value = self.value(node.operand, function)
            return value if value is _UNKNOWN else not value
        elif isinstance(node, ast.BoolOp):
            return self._joined(node, function)
        elif isinstance(node, ast.Compare) and len(node.ops) == 1:
            compare = _COMPARED.get(type(node.ops[0]))
            sides = [self.value(node.left, function)]
            sides.append(self.value(node.comparators[0], function))
            if compare is not None and _UNKNOWN not in sides:
                return compare(*sides)
        return _UNKNOWN

    def _joined(self, node: ast.BoolOp, function: ast.FunctionDef | None) -> object:
        """`a and b`: one that is false is enough, whatever the others are."""
        decides = isinstance(node.op, ast.Or)
        values = [self.value(each, function) for each in node.values]
        known = [bool(each) for each in values if each is not _UNKNOWN]
        if decides in known:
            return decides
        return (not decides) if len(known) == len(values) else _UNKNOWN

    def _path(self, node: ast.expr) -> str:
        names: list[str] = []
        while isinstance(node, ast.Attribute):
            names.append(node.attr)
            node = node.value
        top = self.modules.get(node.id, "") if isinstance(node, ast.Name) else ""
        return ".".join([top, *reversed(names)])


def _method(chain: Iterable[ast.ClassDef], name: str) -> ast.FunctionDef | None:
    """The method that the nearest class of a chain has by a name."""
    return next(
        (
            each
            for node in chain
            for each in reversed(node.body)
            if isinstance(each, ast.FunctionDef) and each.name == name
        ),
        None,
    )


def _constants(body: list[ast.stmt]) -> Iterator[tuple[str, object]]:
    for each in body:
        if isinstance(each, ast.Assign) and isinstance(each.value, ast.Constant):
            if len(each.targets) == 1 and isinstance(each.targets[0], ast.Name):
                yield each.targets[0].id, each.value.value


def _defaults(init: ast.FunctionDef) -> Iterator[tuple[str, object]]:
    """Arguments with a constant for a default that the constructor never binds."""
    bound = {
        name
        for statement in init.body
        for node in ast.walk(statement)
        for name in bound_names(node)
    }
    arguments = init.args
    listed = [*arguments.posonlyargs, *arguments.args]
    pairs = [
        *zip(reversed(listed), reversed(arguments.defaults), strict=False),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    for argument, default in pairs:
        if isinstance(default, ast.Constant) and argument.arg not in bound:
            yield argument.arg, default.value


def _attribute_of_self(statement: ast.stmt) -> str | None:
    """x of `self.x = ...`."""
    target = statement.targets[0] if isinstance(statement, ast.Assign) else None
    if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
        return target.attr if target.value.id == "self" else None
    return None


def _attributes_written(tree: ast.Module) -> dict[str, int]:
    """How often attributes of each name are written or deleted, anywhere.

    All of them twice where one is written by a name that is computed.
    """
    counts: dict[str, int] = {}
    again = 0
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            counts[node.attr] = counts.get(node.attr, 0) + 1
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "setattr":
            name = node.args[1] if len(node.args) > 1 else None
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                counts[name.value] = counts.get(name.value, 0) + 1
            else:
                again = 1
    return {name: count + again for name, count in counts.items()}
