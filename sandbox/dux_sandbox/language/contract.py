"""The class contract: which class of a source is the rule, and how it can be built."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from dux_sandbox.findings import Finding
from dux_sandbox.language.bindings import Bindings
from dux_sandbox.language.definitions import base_path

_EXAMPLE = (
    "class MyOptimizer(torch.optim.Optimizer): with "
    "def __init__(self, params, lr=1e-3): super().__init__(params, dict(lr=lr)) "
    "and def step(self, closure=None):"
)


@dataclass(frozen=True)
class Contract:
    """The rule of a source: its class name (None: there is none) and its faults."""

    rule: str | None
    findings: tuple[Finding, ...] = ()


def _path(node: ast.expr, bindings: Bindings) -> str | None:
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id not in bindings.modules:
        return None
    return ".".join([bindings.modules[node.id], *reversed(names)])


def lineage(
    name: str, bindings: Bindings
) -> tuple[list[ast.ClassDef], str | None] | None:
    """A class's own ancestors, itself first, and torch's optimizer at their end.

    None where the class is no optimizer. The optimizer's name is as in torch.optim.
    """
    chain: list[ast.ClassDef] = []
    current: str | None = name
    while current is not None and current in bindings.classes:
        node = bindings.classes[current]
        if node in chain:
            return None
        chain.append(node)
        current = None
        for base in node.bases:
            stock = base_path(_path(base, bindings))
            if stock is not None:
                return chain, stock
            if isinstance(base, ast.Name) and lineage_of_name(base.id, bindings, chain):
                current = base.id
                break
    return None


def lineage_of_name(name: str, bindings: Bindings, seen: list[ast.ClassDef]) -> bool:
    """Whether `name` is a class of the source that may lead to an optimizer."""
    node = bindings.classes.get(name)
    return node is not None and node not in seen


def _method(chain: list[ast.ClassDef], name: str) -> ast.FunctionDef | None:
    for node in chain:
        for statement in node.body:
            if isinstance(statement, ast.FunctionDef) and statement.name == name:
                return statement
    return None


def find_rule(tree: ast.Module, bindings: Bindings) -> Contract:
    """The last optimizer class at the top level of `tree`, judged by the contract."""
    names = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    found = [(name, lineage(name, bindings)) for name in names]
    rules = [(name, line) for name, line in found if line is not None]
    if not rules:
        message = "no class built on torch.optim.Optimizer at the top level"
        return Contract(None, (Finding("contract", None, message, _EXAMPLE),))
    name, (chain, stock) = rules[-1][0], rules[-1][1] or ([], None)
    return Contract(name, tuple(_judge(chain, stock or "Optimizer")))


def _judge(chain: list[ast.ClassDef], stock: str) -> list[Finding]:
    findings: list[Finding] = []
    name, line = chain[0].name, chain[0].lineno
    init, step = _method(chain, "__init__"), _method(chain, "step")
    if stock == "Optimizer":
        if step is None:
            findings.append(
                Finding(
                    "contract",
                    line,
                    f"{name} has no step method",
                    "write def step(self, closure=None):",
                )
            )
        if init is None:
            findings.append(
                Finding(
                    "contract",
                    line,
                    f"{name} has no __init__",
                    "write def __init__(self, params, lr=1e-3): "
                    "super().__init__(params, dict(lr=lr))",
                )
            )
    if init is not None:
        findings.extend(_judge_arguments(init))
    if step is not None:
        findings.extend(_judge_step(step))
    return findings


def _judge_arguments(init: ast.FunctionDef) -> list[Finding]:
    arguments = init.args
    positional = [*arguments.posonlyargs, *arguments.args]
    required = positional[: len(positional) - len(arguments.defaults)]
    bare = [a.arg for a in required[2:]]
    bare += [
        argument.arg
        for argument, default in zip(
            arguments.kwonlyargs, arguments.kw_defaults, strict=True
        )
        if default is None
    ]
    findings = [
        Finding(
            "contract",
            init.lineno,
            f"the argument {argument} of __init__ has no default",
            f"give it one: {argument}=...; the rule is built as Rule(params)",
        )
        for argument in bare
    ]
    if len(positional) < 2 and arguments.vararg is None:
        message = "__init__ takes no parameters to optimize"
        instead = "write def __init__(self, params, lr=1e-3):"
        findings.append(Finding("contract", init.lineno, message, instead))
    return findings


def _judge_step(step: ast.FunctionDef) -> list[Finding]:
    arguments = step.args
    positional = [*arguments.posonlyargs, *arguments.args]
    required = len(positional) - len(arguments.defaults)
    takes_closure = len(positional) >= 2 or arguments.vararg is not None
    bare = any(default is None for default in arguments.kw_defaults)
    if required > 1 and not (required == 2 and positional[1].arg == "closure"):
        bare = True
    if bare or (not takes_closure and not positional):
        return [
            Finding(
                "contract",
                step.lineno,
                "step has arguments without a default",
                "write def step(self, closure=None):",
            )
        ]
    return []
