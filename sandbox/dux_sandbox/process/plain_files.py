"""Runs Python files as they are, in a process that has been locked: plain torch.

Nothing can be imported any more that is not loaded. A file at hand is run when it is
imported, a package that is missing gets a stand-in: its decorators give back what they
decorate, and whatever else is asked of it raises.
"""

from __future__ import annotations

import ast
import builtins
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from dux_sandbox.gathering.modules import Files, SourceFile

_FAILS = frozenset(["ImportError", "ModuleNotFoundError", "Exception"])
_PREFIX = "dux_plain_file_"


class Absent:
    """What stands for a package that is not there, and for everything in it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Absent:
        if name.startswith("__"):
            raise AttributeError(name)
        return Absent(f"{self._name}.{name}")

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        if len(arguments) == 1 and not options and callable(arguments[0]):
            return arguments[0]
        return Absent(f"{self._name}()")

    def __mro_entries__(self, bases: Any) -> tuple[type, ...]:
        return ()

    def _raise(self, *_: Any) -> NoReturn:
        raise RuntimeError(f"{self._name} is needed, and is not installed here")

    __bool__ = __iter__ = __len__ = __getitem__ = __float__ = __add__ = _raise
    __mul__ = __sub__ = __radd__ = __rmul__ = __rsub__ = __truediv__ = _raise


class PlainFiles:
    """Files that are run at their first import.

    Attributes:
        missing: packages that a stand-in was put in place of.
    """

    def __init__(self, files: Sequence[SourceFile]) -> None:
        self._files = Files(files)
        self._modules: dict[str, types.ModuleType] = {}
        self._optional: dict[str, set[int]] = {}
        self.missing: set[str] = set()

    def run(self, file: SourceFile) -> types.ModuleType:
        """The module of a file; run once, also where it imports itself again."""
        if file.name in self._modules:
            return self._modules[file.name]
        module = types.ModuleType(f"{_PREFIX}{len(self._modules)}")
        self._modules[file.name] = module
        sys.modules[module.__name__] = module
        self._optional[file.name] = set(_optional(ast.parse(file.text)))
        namespace = module.__dict__
        namespace["__builtins__"] = {
            **vars(builtins),
            "__import__": self._importer(file),
        }
        exec(compile(file.text, file.name, "exec", dont_inherit=True), namespace)
        return module

    def _importer(self, file: SourceFile) -> Callable[..., Any]:
        def bring(
            name: str,
            globals: Any = None,
            locals: Any = None,
            fromlist: Sequence[str] | None = (),
            level: int = 0,
        ) -> Any:
            made = self._at_hand(file, name, fromlist or (), level)
            if made is not None:
                return made
            line = sys._getframe(1).f_lineno
            try:
                return builtins.__import__(name, {}, {}, fromlist or (), level)
            except (ImportError, OSError, TypeError, KeyError) as error:
                top = name.partition(".")[0]
                known = top in sys.modules and top != "dux_sandbox"
                if level or known or line in self._optional[file.name]:
                    raise ImportError(f"no module {name} at hand") from error
                self.missing.add(top)
                return Absent(name if fromlist else top)

        return bring

    def _at_hand(
        self, file: SourceFile, name: str, wanted: Sequence[str], level: int
    ) -> Any:
        """The module that an import statement binds, where it is a file at hand."""
        found = self._files.find(file, level, name) if name or level else None
        inner = {
            each: self._files.find(file, level, f"{name}.{each}".lstrip("."))
            for each in wanted
            if each != "*"
        }
        if found is None and not any(inner.values()):
            return None
        module = types.ModuleType(name) if found is None else self.run(found)
        for each, beside in inner.items():
            if not hasattr(module, each) and beside is not None:
                setattr(module, each, self.run(beside))
        if wanted or "." not in name:
            return module
        top: Any = module
        for part in reversed(name.split(".")[1:]):
            around = types.SimpleNamespace()
            setattr(around, part, top)
            top = around
        return top


def _optional(tree: ast.Module) -> Iterator[int]:
    """Lines of imports that may fail."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Try):
            continue
        caught = [
            each.id
            for handler in node.handlers
            if handler.type is not None
            for each in ast.walk(handler.type)
            if isinstance(each, ast.Name)
        ]
        bare = any(handler.type is None for handler in node.handlers)
        if bare or _FAILS & set(caught):
            for statement in node.body:
                for each in ast.walk(statement):
                    if isinstance(each, (ast.Import, ast.ImportFrom)):
                        yield from range(each.lineno, (each.end_lineno or 0) + 1)
