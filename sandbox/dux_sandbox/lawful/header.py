"""How a script of its own gets the rule: an import, or the text of the class."""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import sys
import textwrap
from collections.abc import Callable
from typing import Any

_FROM_TORCH = ("torch.",)

# Stands for the text of a rule in scripts that are made where its text is not to be
# sent back from.
RULE = "# the rule"


def header_of(factory: Callable[[Any], Any], built: Any, source: str | None) -> str:
    """Text that defines `factory` for a script.

    Args:
        factory: parameters to an optimizer.
        built: an optimizer that it made.
        source: the text of the rule's file, where there is one.
    """
    cls = type(built)
    if source is not None:
        made = f"def factory(params):\n    return {cls.__name__}(params)\n"
        return f"{without_torch(source).strip()}\n\n\n{made}"
    arguments = "".join(
        f", {name}={value!r}" for name, value in _arguments(factory, built).items()
    )
    made = f"def factory(params):\n    return {cls.__name__}(params{arguments})\n"
    text = None if cls.__module__.startswith(_FROM_TORCH) else _text_of(cls)
    if text is None:
        module = "torch.optim" if _in_torch_optim(cls) else cls.__module__
        text = f"from {module} import {cls.__name__}"
    return f"{without_torch(text).strip()}\n\n\n{made}"


def _in_torch_optim(cls: type) -> bool:
    import torch

    return getattr(torch.optim, cls.__name__, None) is cls


def without_torch(text: str) -> str:
    """The text without the import that every script has already."""
    lines = text.splitlines()
    return "\n".join(line for line in lines if line.strip() != "import torch")


def _arguments(factory: Callable[[Any], Any], built: Any) -> dict[str, Any]:
    """What the factory passes beside the parameters, as far as it can be seen."""
    if isinstance(factory, functools.partial):
        return dict(factory.keywords)
    try:
        parameters = inspect.signature(type(built).__init__).parameters
    except (TypeError, ValueError):
        return {}
    found = {}
    for name, parameter in parameters.items():
        value = getattr(built, "defaults", {}).get(name, getattr(built, name, None))
        plain = isinstance(value, bool | int | float | str | tuple)
        if plain and name not in ("self", "params") and value != parameter.default:
            found[name] = value
    return found


def _text_of(cls: type) -> str | None:
    """The class, and what it uses of its own module; None without its source."""
    try:
        module = sys.modules[cls.__module__]
        tree = ast.parse(inspect.getsource(module))
        inspect.getsource(cls)
    except (KeyError, OSError, TypeError, SyntaxError):
        return None
    given = {name: node for node in tree.body for name in _names_bound(node)}
    if cls.__name__ not in given:
        return textwrap.dedent(inspect.getsource(cls))
    wanted, kept = [cls.__name__], set()
    while wanted:
        node = given.get(wanted.pop())
        if node is None or node in kept:
            continue
        kept.add(node)
        wanted += [
            each.id
            for each in ast.walk(node)
            if isinstance(each, ast.Name) and not hasattr(builtins, each.id)
        ]
    future = "from __future__ import annotations\n"
    lazy = future if "annotations" in given else ""
    return lazy + "\n".join(
        ast.unparse(node)
        for node in tree.body
        if node in kept and "annotations" not in _names_bound(node)
    )


def _names_bound(node: ast.stmt) -> list[str]:
    """The names that a statement of a module binds, as far as scripts need them."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [alias.asname or alias.name.split(".")[0] for alias in node.names]
    if isinstance(node, ast.Assign):
        return [each.id for each in node.targets if isinstance(each, ast.Name)]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    return []
