"""Which of the files at hand an import means."""

import functools
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from dux_sandbox.language import vocabulary

_PACKAGE = "__init__"
# Modules of these are never a file beside another, whatever that is called.
_ELSEWHERE = frozenset(sys.stdlib_module_names) | frozenset(
    """apex accelerate deepspeed einops jax lightning matplotlib mmcv mmengine networkx
    numpy optax pandas pytorch_lightning scipy sklearn tensorflow timm torchvision tqdm
    transformers triton wandb""".split()
)
_KNOWN = frozenset(name.partition(".")[0] for name in vocabulary.MODULES)


@dataclass(frozen=True)
class SourceFile:
    """A file that may be imported.

    Attributes:
        name: as it was named; so it is called in findings.
        text: what it holds.
        named: whether it was named to go with another, and may lie anywhere; one that
            was not is only found where Python would find it.
        folder: the folder that was named and holds it, where an import may start.
    """

    name: str
    text: str
    named: bool = True
    folder: str | None = None

    @functools.cached_property
    def parts(self) -> tuple[str, ...]:
        """The dotted path of its module, from the root of the file system."""
        path = os.path.splitext(os.path.abspath(self.name))[0].split(os.sep)
        return tuple(path[:-1] if path[-1] == _PACKAGE else path)

    @functools.cached_property
    def package(self) -> tuple[str, ...]:
        """What `.` stands for in its imports."""
        return tuple(os.path.dirname(os.path.abspath(self.name)).split(os.sep))

    @property
    def stem(self) -> str:
        """A short name that can be part of a name in Python."""
        last = self.parts[-1] if self.parts else ""
        return "".join(each if each.isalnum() else "_" for each in last) or "beside"


# The file that a dotted path from the root of the file system is; None without one.
Shelf = Callable[[tuple[str, ...]], SourceFile | None]


class Files:
    """The files at hand.

    Attributes:
        by_name: as they are named, with those that were found on the shelf.
    """

    def __init__(self, files: Iterable[SourceFile], shelf: Shelf | None = None) -> None:
        """Files, and where others may be looked for."""
        self._by_parts = {file.parts: file for file in files}
        self.by_name = {file.name: file for file in self._by_parts.values()}
        self._shelf = shelf
        folders = {file.folder for file in self._by_parts.values()} - {None}
        starts = [tuple(os.path.abspath(str(each)).split(os.sep)) for each in folders]
        self._starts = sorted({*starts, *(start[:-1] for start in starts)})

    def find(self, importer: SourceFile, level: int, dotted: str) -> SourceFile | None:
        """The file that a module of this name is, seen from another; None without one.

        Args:
            importer: the file that the import stands in.
            level: dots before the name.
            dotted: the name, which may be empty after dots.
        """
        names = tuple(dotted.split(".")) if dotted else ()
        if level:
            package = importer.package
            base = package[: len(package) - level + 1]
            return self._at((*base, *names)) or self._named(names)
        if names[0] in _KNOWN | _ELSEWHERE:
            return None
        package = importer.package
        above = [package[:upto] for upto in range(len(package), 0, -1)]
        exact = (self._at((*folder, *names)) for folder in [*above, *self._starts])
        found = next(filter(None, exact), None)
        if found is None:
            found = self._named(names) or self._named(names[-1:])
        # A file does not import itself: something installed has its name.
        return None if found is not None and found.name == importer.name else found

    def _at(self, parts: tuple[str, ...]) -> SourceFile | None:
        found = self._by_parts.get(parts)
        if found is None and self._shelf is not None:
            found = self._shelf(parts)
            if found is not None:
                self._by_parts[parts] = self.by_name[found.name] = found
        return found

    def _named(self, names: tuple[str, ...]) -> SourceFile | None:
        """The only file that was named and whose path ends in these names."""
        if not names:
            return None
        found = [
            file
            for parts, file in self._by_parts.items()
            if file.named and parts[-len(names) :] == names
        ]
        return found[0] if len(found) == 1 else None
