"""What a finding says to do, where a file beside the one that is checked would help."""

from __future__ import annotations

import ast
import os
from dataclasses import replace

from dux_agent.checking.vetted import Told, Vetted
from dux_sandbox.findings import Finding
from dux_sandbox.gathering.outline import Outline
from dux_sandbox.language.bindings import import_aliases

_FROM = " comes from "


def with_advice(vetted: Vetted) -> Vetted:
    """What was found, with the option that names a missing file, where that is there.

    It looks whether files exist beside the one that was judged; it reads none.
    """
    classes = tuple(
        replace(
            one, findings=tuple(_advised(vetted.file, told) for told in one.findings)
        )
        for one in vetted.classes
    )
    about = tuple(_advised(vetted.file, told) for told in vetted.about)
    return replace(vetted, classes=classes, about=about)


def _advised(file: str, told: Told) -> Told:
    message = told.finding.message
    if told.finding.rule == "import" and message.startswith("import of "):
        module = message.removeprefix("import of ").partition(";")[0]
    elif told.finding.rule == "contract" and _FROM in message:
        module = message.rpartition(_FROM)[2]
    else:
        return told
    path = _beside(told.file, module)
    if path is None:
        return told
    instead = f"judge that file with this one: dux check {file} --with {path}"
    return Told(told.file, replace(told.finding, instead=instead))


def stranger_finding(about: Outline, name: str, base: str) -> Finding:
    """What is said of a class whose base the source does not hold."""
    node = about.bindings.classes[name]
    modules = _modules_of(about, base.partition(".")[0])
    where = f"{_FROM}{modules[0]}" if modules else " is defined nowhere"
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


def _beside(file: str, module: str) -> str | None:
    """The file that a module is, where there is one beside the file; or None."""
    bare = module.lstrip(".")
    up = max(0, len(module) - len(bare) - 1)
    names = [name for name in bare.split(".") if name]
    folder = os.path.dirname(file)
    starts = [os.path.join(folder, *[os.pardir] * up)]
    if module == bare:
        starts.append(os.path.join(folder, os.pardir))
    for start in starts:
        for tail in (names, names[-1:]):
            path = os.path.normpath(os.path.join(start, *tail))
            for found in (f"{path}.py", os.path.join(path, "__init__.py")):
                if names and os.path.isfile(found):
                    return found
    return None
