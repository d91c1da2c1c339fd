"""What is said of a class whose base the source does not hold."""

import ast

from dux_sandbox.findings import Finding
from dux_sandbox.gathering.outline import Outline
from dux_sandbox.language.bindings import import_aliases

FROM = " comes from "


def stranger_finding(about: Outline, name: str, base: str) -> Finding:
    """What is said of a class whose base the source does not hold."""
    node = about.bindings.classes[name]
    modules = _modules_of(about, base.partition(".")[0])
    where = f"{FROM}{modules[0]}" if modules else " is defined nowhere"
    message = f"{name} is built on {base}, which{where}"
    instead = "build on torch.optim.Optimizer, or name the file with --with FILE"
    return Finding("contract", node.lineno, message, instead)


def _modules_of(about: Outline, name: str) -> list[str]:
    """The modules that a name is imported from, as they are written."""
    found = []
    for node in ast.walk(about.tree):
        if isinstance(node, ast.ImportFrom):
            if any((alias.asname or alias.name) == name for alias in node.names):
                found.append("." * node.level + (node.module or ""))
        elif isinstance(node, ast.Import):
            found += [path for bound, path in import_aliases(node) if bound == name]
    return found
