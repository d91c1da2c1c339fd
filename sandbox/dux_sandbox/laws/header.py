"""How a script of its own gets the rule: an import, or the text of the class."""

import ast
import functools
import inspect
import re
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dux_sandbox.language.declared_sensors import PLAUSIBLE
from dux_sandbox.language.usual_values import usual_arguments
from dux_sandbox.language.wrapped import as_handed, handed_optimizer
from dux_sandbox.laws.excerpt import MOST_LINES, excerpt
from dux_sandbox.laws.joining import joined

_FROM_TORCH = ("torch.",)

# Stands for the text of a rule in scripts that are made where its text is not to be
# sent back from.
RULE = "# the rule"


@dataclass(frozen=True)
class Header:
    """What a script begins with.

    Attributes:
        rule: the text of the rule, or an import of it.
        factory: the text of `factory`.
    """

    rule: str = ""
    factory: str = ""


def header_of(factory: Callable[[Any], Any], built: Any, source: str | None) -> Header:
    """Text that defines `factory` for a script.

    Args:
        factory: parameters to an optimizer.
        built: an optimizer that it made.
        source: the text of the rule's file, where there is one.
    """
    cls = type(built)
    if source is not None:
        given = "params" if source == RULE else _given(source, cls.__name__)
        made = _factory_text(f"{cls.__name__}({given})", built)
        text = source if source == RULE else excerpt(source, cls.__name__)
        return Header(without_torch(text), made)
    arguments = "".join(
        f", {name}={_written(value)}"
        for name, value in _arguments(factory, built).items()
    )
    made = _factory_text(f"{cls.__name__}(params{arguments})", built)
    text = "" if cls.__module__.startswith(_FROM_TORCH) else _text_of(cls)
    if not text:
        module = "torch.optim" if _in_torch_optim(cls) else cls.__module__
        text = f"from {module} import {cls.__name__}"
    return Header(without_torch(text), made)


def tells_modes(built: Any) -> bool:
    """Whether an optimizer has `train()` and `eval()`, as schedule-free ones do."""
    return all(callable(getattr(built, name, None)) for name in ("train", "eval"))


def in_train_mode(factory: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A factory whose optimizers are put in train mode, where they have one."""

    def begun(params: Any) -> Any:
        optimizer = factory(params)
        if tells_modes(optimizer):
            optimizer.train()
        return optimizer

    begun.__doc__ = factory.__doc__  # it may declare traits
    return begun


def _factory_text(made: str, built: Any) -> str:
    text = (
        f"def factory(params):\n    optimizer = {made}\n    optimizer.train()\n"
        f"    return optimizer\n"
    )
    if not tells_modes(built):
        text = f"def factory(params):\n    return {made}\n"
    sensors = getattr(type(built), "dux_sensors", ())
    if not sensors:
        return text
    told = {name: PLAUSIBLE[name] for name in sensors}
    name = type(built).__name__
    return (
        f"{text}\n\nadd = {name}.add_param_group\n"
        f"{name}.add_param_group = lambda self, group: add(\n"
        f"    self, {{**{told!r}, **group}})\n"
    )


def with_rule(script: str, source: str, file: str | None) -> str:
    """The script with the text of a rule where `RULE` stands for it.

    Args:
        script: made with the source `RULE`.
        source: the text of the rule's file.
        file: where it lies, for a class too long to print; None: it is printed.
    """
    before, found, after = script.partition(RULE)
    made = re.search(r"^    (?:return|optimizer =) (\w+)\(params", after, re.MULTILINE)
    if not found or made is None:
        return script
    given = f"{made[1]}({_given(source, made[1])})"
    after = after.replace(f"{made[1]}(params)", given, 1)
    text = excerpt(source, made[1])
    if file is not None and _long(text):
        text = _out_of(file, made[1])
    return joined(before, without_torch(text), after)


def _given(source: str, name: str) -> str:
    """What the constructor is given: the parameters, and what it wants beside them."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return "params"
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            wraps = handed_optimizer(node)
            found = usual_arguments(node).items()
            beside = "".join(f", {argument}={value}" for argument, value in found)
            inner = "torch.optim.SGD(params)"
            return f"{as_handed(wraps, inner) if wraps else 'params'}{beside}"
    return "params"


def _out_of(file: str, name: str) -> str:
    """Text that takes a class out of a file, wherever the script is run."""
    path = str(Path(file).resolve())
    return f"import runpy\n\n{name} = runpy.run_path({path!r})[{name!r}]"


def _long(text: str) -> bool:
    return len(text.splitlines()) > MOST_LINES


def _in_torch_optim(cls: type) -> bool:
    import torch

    return getattr(torch.optim, cls.__name__, None) is cls


def without_torch(text: str) -> str:
    """The text without the import that every script has already."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return text.strip()
    lines = text.splitlines()
    for node in tree.body:
        if ast.unparse(node) == "import torch":
            lines[node.lineno - 1] = ""
    return "\n".join(lines).strip()


def _written(value: object) -> str:
    """A value as an expression."""
    import torch

    if isinstance(value, torch.Tensor):
        return f"torch.tensor({value.tolist()!r}, dtype={value.dtype})"
    return repr(value)


def _arguments(factory: Callable[[Any], Any], built: Any) -> dict[str, Any]:
    """What the factory passes beside the parameters, as far as it can be seen."""
    import torch

    if isinstance(factory, functools.partial):
        return dict(factory.keywords)
    try:
        parameters = inspect.signature(type(built).__init__).parameters
    except (TypeError, ValueError):
        return {}
    found = {}
    for name, parameter in parameters.items():
        value = getattr(built, "defaults", {}).get(name, getattr(built, name, None))
        if isinstance(value, torch.Tensor):
            plain = value.numel() == 1
        else:
            plain = isinstance(value, bool | int | float | str | tuple)
            plain = plain and value != parameter.default
        if plain and name not in ("self", "params"):
            found[name] = value
    return found


def _text_of(cls: type) -> str:
    """The class, and what it uses of its own module; "" where it is to be imported."""
    try:
        text = inspect.getsource(sys.modules[cls.__module__])
        own = inspect.getsource(cls)
    except (KeyError, OSError, TypeError):
        return ""
    if cls.__qualname__ != cls.__name__:
        return textwrap.dedent(own)
    found = excerpt(text, cls.__name__)
    beside = any(
        isinstance(node, ast.ImportFrom) and node.level
        for node in ast.parse(found).body
    )
    if not beside and not _long(found):
        return found
    file = inspect.getsourcefile(cls)
    return "" if beside or file is None else _out_of(file, cls.__name__)
